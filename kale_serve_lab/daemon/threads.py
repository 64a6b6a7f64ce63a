"""The threads for what would hold the event loop up: one that alone talks to the metadata database, two for files."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """ML Metadata is synchronous and has one writer; hashing and copying let the interpreter's lock go."""

    def __init__(self) -> None:
        self._metadata = ThreadPoolExecutor(1, "metadata")
        self._files = ThreadPoolExecutor(2, "files")

    async def metadata(self, function: Callable[..., T], *args: Any, **named: Any) -> T:
        """Run where all calls of the metadata store run, one after the other."""
        return await self._run(self._metadata, functools.partial(function, *args, **named))

    async def files(self, function: Callable[..., T], *args: Any, **named: Any) -> T:
        """Run beside the event loop."""
        return await self._run(self._files, functools.partial(function, *args, **named))

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        self._files.shutdown()
        self._metadata.shutdown()

    @staticmethod
    async def _run(executor: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        # Shielded: a caller that goes away must not leave a submission half done.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(executor, call))
