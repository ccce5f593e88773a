"""A TCP proxy that breaks connections on purpose: latency, refusal, black hole, cut in mid-body."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """A running proxy; its faults can be changed at any time, for new bytes and connections.

    Attributes:
        target_port: On loopback.
        port: Where it listens; 0 until it does.
        latency: Seconds every piece of an answer waits.
        refusing: Connections are accepted and closed at once, with a reset.
        black_hole: Bytes are swallowed, in both directions.
        cut_after: Bytes of answers, per connection, after which it is reset.
        cut_requests_after: The same of requests.
        connections: How many were made.
    """

    target_port: int
    port: int = 0
    latency: float = 0.0
    refusing: bool = False
    black_hole: bool = False
    cut_after: int | None = None
    cut_requests_after: int | None = None
    connections: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            if not self.refusing:
                await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        try:
            asking = asyncio.create_task(self._pump(reader, server_writer, answers=False))
            answering = asyncio.create_task(self._pump(server_reader, writer, answers=True))
            done, left = await asyncio.wait(
                (asking, answering), return_when=asyncio.FIRST_COMPLETED
            )
            for task in left:
                task.cancel()
            await asyncio.gather(*done, *left, return_exceptions=True)
        finally:
            server_writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        passed = 0
        while chunk := await reader.read(65536):
            if self.black_hole:
                continue
            if answers and self.latency:
                await asyncio.sleep(self.latency)
            limit = self.cut_after if answers else self.cut_requests_after
            if limit is not None:
                chunk = chunk[: max(0, limit - passed)]
            writer.write(chunk)
            await writer.drain()
            passed += len(chunk)
            if limit is not None and passed >= limit:
                return


@contextlib.contextmanager
def proxy(target_port: int) -> Iterator[Proxy]:
    """Run a proxy in a thread, in front of a server on loopback."""
    running = Proxy(target_port)
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(running.serve(ready, stop),))
    thread.start()
    try:
        if not ready.wait(10):
            raise TimeoutError("the proxy did not start")
        yield running
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
