"""The main thread's queue: everything of the user's runs there, one call after the other."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class MainThreadWork:
    """Calls that the server thread hands to the main thread.

    One thread, because models are not promised to be thread-safe, and because every thread that enters OpenMP gets a team
    of workers of its own.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def submit(self, call: Callable[[], None]) -> None:
        """Run `call` in the main thread; it must not raise."""
        self._queue.put(call)

    async def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Await `function`'s value or exception from the main thread."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(value: T | None, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is None:
                future.set_result(value)  # type: ignore[arg-type]
            else:
                future.set_exception(error)

        def call() -> None:
            try:
                value = function(*args, **kwargs)
            except BaseException as error:
                # A future cannot carry StopIteration, and SystemExit would end the loop that awaits it.
                carried = (
                    error
                    if isinstance(error, Exception) and not isinstance(error, StopIteration)
                    else RuntimeError(
                        f"{type(error).__name__}: {error}",
                    )
                )
                loop.call_soon_threadsafe(settle, None, carried)
            else:
                loop.call_soon_threadsafe(settle, value, None)

        self._queue.put(call)
        return await future

    def close(self) -> None:
        """Let `serve_forever` return after what is queued already."""
        self._queue.put(None)

    def serve_forever(self) -> None:
        """Run the calls, in the calling thread, until `close`."""
        while (call := self._queue.get()) is not None:
            call()
