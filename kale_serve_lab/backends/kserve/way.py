"""Which way to a service works: by its address in the cluster, by its external one, or through the API server.

The candidates come from the object that the backend has stored, never from a request. The first way that a server answers
by is remembered, and looked for again when it fails.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from kale_serve_lab.backends.kserve.carrying import Answer, Body, NotConnected, Wires
from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.doors import Doors
from kale_serve_lab.backends.kserve.pinning import Resolve, system_resolve
from kale_serve_lab.backends.kserve.settings import Settings
from kale_serve_lab.endpoint import refusals
from kale_serve_lab.errors import (
    EndpointGone,
    EndpointNotReady,
    Forbidden,
    KaleServeError,
    Timeout,
    Unauthorized,
    UpstreamFailed,
)
from kale_serve_lab.inference import statuses
from kale_serve_lab.serving.types import Address, AddressKind, ServiceKey

MAX_PROBE: Final = 16 << 20
# What a gateway or the API server says of itself is short.
_WORDS: Final = 64 * 1024
_LOOK_SECONDS: Final = 10.0
_SOONEST_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Tried:
    """What a prediction came to. `addresses`: each way with whether it works, and why not; `address`: the one that answered."""

    ok: bool
    status: int | None
    body: bytes = field(repr=False)
    error: KaleServeError | None
    address: Address | None
    addresses: tuple[Address, ...]


@dataclass(frozen=True)
class _Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Body
    seconds: float | None


@dataclass
class _Known:
    """What was found of a service."""

    candidates: tuple[Address, ...]
    address: Address | None
    at: float
    error: KaleServeError | None = None


class Ways:
    """The ways to the services of one cluster. All calls come from one event loop; `candidates` raises `EndpointNotFound`."""

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        candidates: Callable[[ServiceKey], Sequence[Address]],
        *,
        resolve: Resolve = system_resolve,
        wires: Wires | None = None,
    ) -> None:
        self._settings = settings
        self._candidates = candidates
        self._wires = wires or Wires()
        self._doors = Doors(cluster, settings, resolve)
        self._known: dict[ServiceKey, _Known] = {}
        self._looking: dict[ServiceKey, asyncio.Lock] = {}
        self._last_kind: AddressKind | None = None

    def addresses(self, key: ServiceKey) -> tuple[Address, ...]:
        """The service's addresses, with what is known of each; those that nobody has tried yet have `works` None."""
        known = self._known.get(key)
        return known.candidates if known is not None else tuple(self._candidates(key))

    def forget(self, key: ServiceKey) -> None:
        """Its addresses have changed, or it has gone."""
        self._known.pop(key, None)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._wires.close()

    async def predict_once(
        self,
        key: ServiceKey,
        path: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Tried:
        """A real prediction by POST to `path` (`/v1/models/iris:predict`), by the first way that a server answers by.

        What a server does, it never raises; an answer of the server that is no 2xx is `error` too. `timeout` is in seconds for
        each way. Raises `EndpointNotFound`.
        """
        sent = {"content-type": "application/json", "accept": "application/json", **(headers or {})}

        asked = _Asked("POST", path, sent, body, timeout)

        async def ask(address: Address) -> tuple[int, bytes]:
            async with self._exchange(key, address, asked) as answer:
                return answer.status, await _whole(answer)

        known, found = await self._first(key, ask)
        if found is None:
            return Tried(False, None, b"", known.error, None, known.candidates)
        status, content = found
        error = None if 200 <= status < 300 else statuses.of_http(status, content, key.name)
        return Tried(error is None, status, content, error, known.address, known.candidates)

    @contextlib.asynccontextmanager
    async def open(
        self, key: ServiceKey, method: str, path: str, headers: Mapping[str, str], body: Body
    ) -> AsyncIterator[Answer]:
        """A request by the way that works, looking for it where none is known. The answer is the server's own.

        Raises `EndpointNotFound`, `EndpointNotReady`, `Unauthorized`, `Forbidden`, `UpstreamFailed`, `EndpointGone`, `Timeout`.
        """
        asked = _Asked(method, path, headers, body, None)
        address = (await self._found(key)).address
        assert address is not None
        async with contextlib.AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(self._exchange(key, address, asked))
            except NotConnected:
                # Nothing of the body was taken: it may have moved.
                self.forget(key)
                address = (await self._found(key)).address
                assert address is not None
                try:
                    answer = await stack.enter_async_context(self._exchange(key, address, asked))
                except NotConnected as error:
                    self.forget(key)
                    raise _no_way(key, str(error)) from error
            except (Unauthorized, Forbidden, EndpointNotReady):
                # Another way may be open; the next request looks.
                self.forget(key)
                raise
            yield answer

    async def _found(self, key: ServiceKey) -> _Known:
        known = self._known.get(key)
        if known is not None and known.address is not None:
            return known
        lock = self._looking.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                known = self._known.get(key)
                now = asyncio.get_running_loop().time()
                if known is None or (known.address is None and now - known.at >= _SOONEST_SECONDS):
                    known, _ = await self._first(key, lambda address: self._look(key, address))
        finally:
            if not lock.locked():
                self._looking.pop(key, None)
        if known.address is None:
            assert known.error is not None
            raise known.error
        return known

    async def _look(self, key: ServiceKey, address: Address) -> int:
        """Any server of a protocol says something of its models, be it that it knows none."""
        status = 0
        for last, path in enumerate((f"/v1/models/{key.name}", f"/v2/models/{key.name}")):
            asked = _Asked("GET", path, {"accept": "application/json"}, None, _LOOK_SECONDS)
            try:
                async with self._exchange(key, address, asked) as answer:
                    await _whole(answer)
                    return answer.status
            except EndpointNotReady:
                # A server without v1 may say so as a gateway does.
                if last:
                    raise
        return status

    async def _first(self, key: ServiceKey, ask: Callable[[Address], Any]) -> tuple[_Known, Any]:
        """Ask by each way until a server answers; what was learned is kept."""
        candidates = list(self._candidates(key))
        before = self._known.get(key)
        liked = before.address.kind if before is not None and before.address is not None else self._last_kind
        found: Any = None
        working: Address | None = None
        told: dict[int, Address] = {}
        reasons: list[KaleServeError] = []
        order = sorted(range(len(candidates)), key=lambda at: candidates[at].kind != liked)
        for at in order:
            address = candidates[at]
            if address.works is False:
                continue
            if self._settings.address is not None and address.kind != self._settings.address:
                told[at] = replace(address, works=None, why="the settings name another way")
                continue
            try:
                found = await ask(address)
            except (KaleServeError, NotConnected) as error:
                failed = error if isinstance(error, KaleServeError) else _no_way(key, str(error))
                reasons.append(failed)
                told[at] = replace(address, works=False, why=failed.message)
                continue
            working = replace(address, works=True, why=None)
            told[at] = working
            break
        everything = tuple(told.get(at, address) for at, address in enumerate(candidates))
        known = _Known(everything, working, asyncio.get_running_loop().time())
        if working is None:
            known.error = _none_works(key, everything, reasons, self._settings.address)
        else:
            self._last_kind = working.kind
        self._known[key] = known
        return known, found

    @contextlib.asynccontextmanager
    async def _exchange(
        self,
        key: ServiceKey,
        address: Address,
        asked: _Asked,
    ) -> AsyncIterator[Answer]:
        """One request by one way; what stands between us and the service and refuses is raised as our error."""
        door = await self._doors.find(key, address)
        try:
            async with self._wires.exchange(
                door, asked.method, asked.path, asked.headers, asked.body, seconds=asked.seconds
            ) as answer:
                answer.check()
                kind = answer.headers.get("content-type", "")
                if answer.status >= 300 or "html" in kind:
                    start = await _peeked(answer)
                    refusal = refusals.of_way(answer.status, answer.headers, start, key.name)
                    if refusal is not None:
                        if isinstance(refusal, Unauthorized):
                            self._doors.unwelcome(key)
                        raise refusal
                yield answer
        except NotConnected:
            self._doors.closed(address)
            raise
        except (UpstreamFailed, EndpointGone, Timeout) as error:
            error.subject = error.subject or key.name
            raise


async def _whole(answer: Answer) -> bytes:
    found = bytearray()
    async for part in answer.parts():
        found += part
        if len(found) > MAX_PROBE:
            raise UpstreamFailed(f"The answer to a probe is larger than {MAX_PROBE} bytes.")
    return bytes(found)


async def _peeked(answer: Answer) -> bytes:
    """The first bytes of the body, which stay to be read."""
    start = bytearray()
    parts = answer.parts()
    with contextlib.suppress(UpstreamFailed, EndpointGone, Timeout):
        async for part in parts:
            start += part
            if len(start) >= _WORDS:
                break
    answer.put_back(bytes(start), parts)
    return bytes(start)


def _no_way(key: ServiceKey, why: str) -> EndpointNotReady:
    return EndpointNotReady(
        f"{key.name} does not answer: {why}.",
        subject=key.name,
        hint="Its state says whether it is ready; kale-serve cluster check says which ways there are.",
    )


def _none_works(
    key: ServiceKey,
    addresses: Sequence[Address],
    reasons: Sequence[KaleServeError],
    only: AddressKind | None,
) -> KaleServeError:
    """One error of several ways that failed: the class of the one that says most."""
    told = [
        f"{address.kind}, {address.url}: {address.why}" for address in addresses if address.works is False
    ]
    telling = (Unauthorized, Forbidden, Timeout, UpstreamFailed, EndpointGone)
    chosen = min(
        reasons[::-1],
        key=lambda reason: next((at for at, cls in enumerate(telling) if isinstance(reason, cls)), 9),
        default=None,
    )
    if chosen is None:
        hint = (
            f"The settings allow only the way {only}: kale-serve cluster set --address ''."
            if only is not None
            else "It may have no address yet: its state says so."
        )
        said = "; ".join(told)
        return EndpointNotReady(
            f"{key.name} has no address that can be asked{': ' + said if said else ''}.",
            subject=key.name,
            hint=hint,
        )
    return type(chosen)(
        chosen.message,
        subject=key.name,
        hint=chosen.hint,
        details={"addresses": [address.to_json() for address in addresses]},
    )
