"""TLS in front of a server that has none: a proxy in a thread, with certificates of an authority that exists for a test."""

import asyncio
import contextlib
import ssl
import threading

import trustme


class TlsProxy:
    """Ends TLS on a port of its own and passes on to another; `asks` for a certificate of the client's, if wanted."""

    def __init__(self, folder, port, *, asks=False, name="127.0.0.1"):
        authority, self._port = trustme.CA(), port
        self.ca_file, self.certificate_file = folder / "ca.pem", folder / "client.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        authority.issue_cert("driftline").private_key_and_cert_chain_pem.write_to_path(self.certificate_file)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(self._context)
        if asks:
            authority.configure_trust(self._context)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._started = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    async def _serve(self):
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._ended.wait()
        server.close()

    async def _pass_on(self, reader, writer):
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(_copy(reader, to_writer), _copy(to_reader, writer))


async def _copy(reader, writer):
    with contextlib.suppress(OSError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    writer.close()
