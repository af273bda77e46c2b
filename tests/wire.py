"""A wire between clients and a server on loopback, that can be cut, also in the middle of a command, and be slow."""

import asyncio
import contextlib
import random
import threading

_PIECE = 1 << 16


class Wire:
    """Listens on a port of its own, and passes on what comes: each connection to one of the ports of servers.

    `delay_s` is how long each piece of an answer is held back; of a connection that has sent
    what `loses` says, all further answers are lost. `cut_share` is the share of pieces towards the server of which a
    part is passed on, and then the connection is cut.
    """

    def __init__(self, *ports, seed=0):
        self.server_ports = ports
        self.delay_s = 0.0
        self.loses = None
        self.cut_share = 0.0
        self.cuts = 0
        self._rng = random.Random(seed)  # noqa: S311 - where to cut is no secret
        self._open, self._deaf = set(), set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listener = self._called(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._listener.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def cut(self):
        """Cut all connections that there are; new ones can be made."""
        self._loop.call_soon_threadsafe(self._cut)

    def close(self):
        """Cut everything, and listen no more."""
        self._called(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _called(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _close(self):
        self._listener.close()
        self._cut()
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not mine]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _cut(self):
        self.cuts += len(self._open)
        for writers in list(self._open):
            for writer in writers:
                writer.transport.abort()

    async def _serve(self, reader, writer):
        try:
            server_reader, server_writer = await asyncio.open_connection(
                "127.0.0.1", self._rng.choice(self.server_ports)
            )
        except OSError:
            writer.transport.abort()
            return
        ends = (writer, server_writer)
        self._open.add(ends)
        try:
            await asyncio.gather(self._ask(reader, *ends), self._answer(server_reader, writer))
        except OSError:
            pass
        finally:
            self._open.discard(ends)
            self._deaf.discard(writer)
            for end in ends:
                end.transport.abort()

    async def _ask(self, reader, client_writer, writer):
        while piece := await reader.read(_PIECE):
            if self.loses is not None and self.loses in piece:
                self._deaf.add(client_writer)
            if self._rng.random() < self.cut_share:
                writer.write(piece[: self._rng.randrange(len(piece))])
                with contextlib.suppress(OSError):
                    await writer.drain()
                self.cuts += 1
                raise ConnectionResetError
            writer.write(piece)
            await writer.drain()
        raise ConnectionResetError

    async def _answer(self, reader, writer):
        while piece := await reader.read(_PIECE):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if writer not in self._deaf:
                writer.write(piece)
            await writer.drain()
        raise ConnectionResetError
