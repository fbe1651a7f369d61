"""The application on a real socket, as `verdelta serve` runs it: where HTTP itself is what matters."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

PATIENCE = 20.0  # seconds until it answers


class Server(uvicorn.Server):
    """A server in a thread of the test."""

    url = ""
    port = 0

    def raw(self, *parts: bytes) -> bytes:
        """Send bytes as they are, and return all that is answered until the connection ends."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            with suppress(ConnectionError):  # it may have heard enough
                for part in parts:
                    connection.sendall(part)
            with suppress(ConnectionError):
                while piece := connection.recv(1 << 16):
                    answer += piece
        return answer


@contextmanager
def serving(app: FastAPI, tls: tuple[Path, Path] | None = None) -> Iterator[Server]:
    """Yield a server on loopback that runs until the block ends; with a certificate and its key it speaks TLS.

    The durable engine is not started: nothing that is asked here rolls anything out.
    """
    secured: dict[str, Any] = {"ssl_certfile": str(tls[0]), "ssl_keyfile": str(tls[1])} if tls else {}
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False, **secured)
    server = Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.port = listening.getsockname()[1]
        server.url = f"http{'s' if tls else ''}://127.0.0.1:{server.port}"
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        give_up = time.monotonic() + PATIENCE
        while not server.started:
            assert thread.is_alive() and time.monotonic() < give_up, "the server did not start"
            time.sleep(0.01)
        try:
            yield server
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


def trusting(ca: Path) -> ssl.SSLContext:
    """Return what a client needs to trust a CA alone."""
    return ssl.create_default_context(cafile=str(ca))
