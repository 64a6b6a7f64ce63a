"""gRPC through the relay: bytes in and out, and clients that are led to the next revision without losing a call."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from kale_serve_lab.model_server.relay import Relay, _Frames

grpc = pytest.importorskip("grpc")
METHOD = "/test.Echo/Say"


class Revision:
    """A real gRPC server on a private socket, its relay, and the socket that clients may be led to."""

    def __init__(self, home: Path, number: int, seconds: float) -> None:
        self.number, self.seconds = number, seconds
        self.public, self.private = home / f"public-{number}", home / f"private-{number}"

    async def start(self) -> None:
        async def say(message: bytes, context) -> bytes:
            await asyncio.sleep(self.seconds)
            return b"%d:" % self.number + message

        handler = grpc.method_handlers_generic_handler(
            "test.Echo", {"Say": grpc.unary_unary_rpc_method_handler(say)}
        )
        self.server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        self.server.add_generic_rpc_handlers((handler,))
        self.server.add_insecure_port(f"unix:{self.private}")
        await self.server.start()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.public))
        self.listener.listen(64)

        async def address() -> str:
            return f"unix:{self.private}"

        self.relay = Relay(self.listener, address)

    async def end(self) -> None:
        await self.relay.drain()
        await self.server.stop(0)
        self.listener.close()


def channel(path: Path):
    return grpc.aio.insecure_channel(
        f"unix:{path}",
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )


def test_calls_of_all_sizes_pass(home) -> None:
    async def run() -> None:
        revision = Revision(home, 1, 0)
        await revision.start()
        async with channel(revision.public) as client:
            call = client.unary_unary(METHOD)
            for size in (0, 1, 10_000, 9 << 20):
                assert await call(b"x" * size) == b"1:" + b"x" * size
            answers = await asyncio.gather(*(call(b"%d" % number) for number in range(50)))
            assert answers == [b"1:%d" % number for number in range(50)]
            assert revision.relay.in_flight == 0
        await revision.end()

    asyncio.run(run())


def test_kept_channels_are_led_to_the_next_revision_and_no_call_is_lost(home) -> None:
    front = home / "front"

    def switch_to(revision: Revision) -> None:
        front.with_suffix(".new").hardlink_to(revision.public)
        front.with_suffix(".new").rename(front)

    async def run() -> None:
        revision = Revision(home, 1, 0.005)
        await revision.start()
        switch_to(revision)
        stop, answered = asyncio.Event(), []

        async def load() -> None:
            # One channel for all its calls, no retries: a call that is cut off fails the test.
            async with channel(front) as client:
                call = client.unary_unary(METHOD)
                while not stop.is_set():
                    answered.append(int((await call(b"x" * 3000, timeout=30)).split(b":")[0]))

        loads = [asyncio.create_task(load()) for _ in range(6)]

        async def go_on(calls: int) -> None:
            count = len(answered)
            while len(answered) < count + calls and not any(task.done() for task in loads):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        await go_on(60)
        for number in (2, 3, 4):
            following = Revision(home, number, 0.005)
            await following.start()
            switch_to(following)
            await asyncio.wait_for(revision.end(), 20)
            revision = following
            await go_on(60)
        stop.set()
        await asyncio.gather(*loads)
        assert set(answered) == {1, 2, 3, 4}
        await revision.end()

    asyncio.run(run())


def test_a_long_call_is_waited_for_and_an_idle_connection_is_not(home) -> None:
    async def run() -> None:
        revision = Revision(home, 1, 0.6)
        await revision.start()
        async with channel(revision.public) as client, channel(revision.public) as idle:
            await idle.channel_ready()
            call = asyncio.ensure_future(client.unary_unary(METHOD)(b"slow"))
            while not revision.relay.in_flight:  # noqa: ASYNC110 (a call that arrives has no event here)
                await asyncio.sleep(0.01)
            await asyncio.wait_for(revision.end(), 20)
            assert call.done()
            assert await call == b"1:slow"

    asyncio.run(run())


def test_without_a_server_behind_the_client_is_told_at_once(home) -> None:
    async def run() -> None:
        revision = Revision(home, 1, 0)
        await revision.start()
        await revision.server.stop(0)
        async with channel(revision.public) as client:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await client.unary_unary(METHOD)(b"", timeout=20)
            assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        await revision.relay.close()
        revision.listener.close()

    asyncio.run(run())


def test_what_is_no_http2_harms_nobody(home) -> None:
    async def run() -> None:
        revision = Revision(home, 1, 0)
        await revision.start()
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100_000, b"PRI"):
            reader, writer = await asyncio.open_unix_connection(revision.public)
            writer.write(garbage)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 20)
            writer.close()
        async with channel(revision.public) as client:
            assert await client.unary_unary(METHOD)(b"still here") == b"1:still here"
        await asyncio.wait_for(revision.end(), 20)

    asyncio.run(run())


@pytest.mark.parametrize("step", [1, 2, 7, 9, 10, 1000])
def test_frames_are_found_however_the_bytes_are_cut(step: int) -> None:
    frames = [(0, 1, 5, b"x" * 20), (1, 4, 7, b""), (9, 4, 7, b"abc"), (3, 0, 0x7FFFFFFF, b"1234")]
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    wire = preface + b"".join(
        len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
        for kind, flags, stream, body in frames
    )
    reader = _Frames(len(preface))
    assert not reader.at_border
    found = [one for at in range(0, len(wire), step) for one in reader.feed(wire[at : at + step])]
    assert found == [frame[:3] for frame in frames]
    assert reader.at_border
    reader.feed(wire[len(preface) : len(preface) + 5])
    assert not reader.at_border
