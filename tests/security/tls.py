"""TLS for the tests: certificates made now, and doors that speak it for servers that do not."""

import socket
import ssl
import struct
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""How a client of PostgreSQL asks for TLS."""


def certificate(folder: Path, name: str, host: str) -> Path:
    """A certificate for the host, its own authority, with its key in the same file."""
    made = folder / f"{name}.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    of = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
    subprocess.run(
        ["openssl", *words.split(), *of, "-keyout", made, "-out", folder / f"{name}.crt"],
        check=True,
        capture_output=True,
    )
    with made.open("a") as both:
        both.write((folder / f"{name}.crt").read_text())
    return made


class Door:
    """Listens with TLS, and passes what it hears on to a server on this machine."""

    def __init__(self, certificate: Path, to_port: int, *, is_postgresql: bool = False) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(certificate)
        self.to_port = to_port
        self.is_postgresql = is_postgresql
        self.heard = bytearray()
        """What came through, once it was decrypted."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []

    def run(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def close(self) -> None:
        for one in (self._listening, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self, client: socket.socket) -> None:
        self._open.append(client)
        with suppress(OSError):
            if self.is_postgresql:
                assert client.recv(8, socket.MSG_WAITALL) == SSL_REQUEST
                client.sendall(b"S")
            wrapped = self.context.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", self.to_port))
            self._open += (wrapped, server)
            back = threading.Thread(target=_pump, args=(server, wrapped), daemon=True)
            back.start()
            _pump(wrapped, server, self.heard)


def _pump(source: socket.socket, target: socket.socket, heard: bytearray | None = None) -> None:
    with suppress(OSError):
        while part := source.recv(65_536):
            if heard is not None:
                heard += part
            target.sendall(part)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def door(certificate: Path, to_port: int, *, is_postgresql: bool = False):
    """A door that listens for as long as the block runs."""
    made = Door(certificate, to_port, is_postgresql=is_postgresql)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    yield made
    made.close()
    thread.join(10)
