"""A model server by the launch contract that does what the artifact's file `behaviour` says; most of it is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


async def serve(spec: dict, behaviour: str) -> None:
    state = {"type": "state", "state": "loading", "message": "", "error": None, "seconds": {}}
    watchers: list[asyncio.StreamWriter] = []

    def tell(writer: asyncio.StreamWriter, message: dict) -> None:
        writer.write(json.dumps(message).encode() + b"\n")

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonce = "0" * 32 if behaviour == "stranger" else spec["nonce"]
        names = ("service", "namespace", "revision", "component")
        tell(
            writer,
            {"type": "hello", "nonce": nonce, "pid": os.getpid()} | {name: spec[name] for name in names},
        )
        tell(writer, state)
        watchers.append(writer)
        while line := await reader.readline():
            command = json.loads(line)["type"]
            if command == "socket":
                with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as raw:
                    socket.send_fds(raw, [b'{"type": "socket"}\n'], [spec["listen_fd"]])
            elif command in ("stop", "drain") and behaviour != "ignore-sigterm":
                os._exit(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(l[15:]) for l in head.lower().split(b"\r\n") if l.startswith(b"content-length:")), 0
        )
        await reader.readexactly(length)
        if behaviour == "die-on-predict":
            os.kill(os.getpid(), signal.SIGSEGV)
        wrong = behaviour == "cannot-predict"
        body = json.dumps(
            {"error": {"code": "PredictFailed", "message": "no such method"}} if wrong else {}
        ).encode()
        status = b"500 No" if wrong else b"200 OK"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
        writer.close()
        leaked = Path(spec["artifact_dir"]) / "leaked"
        if behaviour == "leak" and not leaked.exists():
            # Once only: the server that is started in its place stays small.
            leaked.touch()
            kept.append(b"x" * (200 << 20))

    kept: list[bytes] = []
    if behaviour == "ignore-sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # A child of the server belongs to its group and must go with it.
        os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")  # noqa: ASYNC220 (before anything is served)
    controller = await asyncio.start_unix_server(control, sock=socket.socket(fileno=spec["control_fd"]))
    if behaviour == "hang":
        await asyncio.sleep(600)
    server = await asyncio.start_unix_server(answer, sock=socket.socket(fileno=spec["listen_fd"]))
    state["state"] = "loaded"
    for writer in watchers:
        tell(writer, state)
    if behaviour == "flood":
        await asyncio.get_running_loop().run_in_executor(None, flood)
    async with controller, server:
        await asyncio.sleep(600)


def flood() -> None:
    line = b"x" * 1023 + b"\n"
    for _ in range(64):
        os.write(2, line * 1024)
        time.sleep(0.1)


def park() -> None:
    """A parked interpreter that answers `fork` with what the file beside the interpreter says."""
    answer = Path(sys.argv[0]).with_name("parked-answer")
    if not answer.exists():
        return
    with socket.socket(fileno=os.dup(0)) as daemon:
        daemon.send(b'{"type": "parked", "pid": 1}')
        while message := daemon.recv(1 << 20):
            if b"fork" in message:
                daemon.send(answer.read_bytes())


def main() -> None:
    if sys.argv[-1].endswith("parked") or "--import" in sys.argv:
        park()
        return
    spec = json.load(sys.stdin)
    behaviour = (Path(spec["artifact_dir"]) / "behaviour").read_text()
    if behaviour == "crash":
        print("Traceback: the model of this artifact cannot be read", file=sys.stderr)
        sys.exit(9)
    asyncio.run(serve(spec, behaviour))


main()
