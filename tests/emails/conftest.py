"""Mail servers on loopback, and a way for e-mails to them."""

import shutil
import ssl
import subprocess

import pytest

from tests.emails import mail_rig
from tests.work.rig import TABLES
from worker.emails.smtp import Smtp
from worker.emails.smtp_url import read_smtp_url


@pytest.fixture
def database_url(emptied):
    """The folder's database, empty, also of carriers."""
    return emptied("emails", tables=TABLES)


@pytest.fixture(scope="session")
def event_loop():
    """The loop of all mail servers."""
    with mail_rig.event_loop() as loop:
        yield loop


@pytest.fixture
def start_server(event_loop):
    """Starts mail servers that end with the test."""
    servers = []

    def start(**options):
        server = mail_rig.MailServer(event_loop, **options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(start_server):
    """A mail server that takes everything."""
    return start_server()


@pytest.fixture
def connect():
    """Makes ways to a server by URL, closed with the test."""
    made = []

    def connect(url, *, timeout_s=10, **options):
        made.append(Smtp(read_smtp_url(url), timeout_s=timeout_s, **options))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for localhost that nobody knows, made now: no key lies in the repository."""
    if shutil.which("openssl") is None:
        pytest.skip("making a certificate takes the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj"
    subprocess.run(
        [
            "openssl",
            *made.split(),
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            folder / "key",
            "-out",
            folder / "certificate",
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def server_tls(certificate):
    """The server's side of TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "certificate", certificate / "key")
    return context


@pytest.fixture
def client_tls(certificate):
    """The side of a client that knows the certificate."""
    return ssl.create_default_context(cafile=certificate / "certificate")
