"""Sending by SMTP, against servers that answer as they are told."""

import ssl

import pytest
from aiosmtpd.smtp import AuthResult

from tests.emails import mail_rig
from tests.emails.mail_rig import mail
from tests.work import rig
from worker.errors import Terminal, Transient


def refused(smtp, one):
    """What became of an e-mail that was not delivered."""
    with pytest.raises((Transient, Terminal)) as caught:
        smtp.deliver(one)
    kind = Terminal if caught.type is Terminal else Transient
    return kind, caught.value.reason, str(caught.value)


def subjects(server):
    return [mail_rig.read(envelope.content)["Subject"] for envelope in server.got]


def test_one_connection(server, connect):
    """A thread's e-mails go over one connection, in order."""
    smtp = connect(server.url)

    for number in range(5):
        smtp.deliver(mail(number))

    assert subjects(server) == ["0", "1", "2", "3", "4"]
    assert len(server.sessions) == 1


def test_one_connection_per_thread(server, connect):
    """Threads do not share a connection: each of two has one for all its e-mails."""
    smtp = connect(server.url)

    rig.together(*[lambda: [smtp.deliver(mail(n)) for n in range(5)] for _ in range(2)])

    assert len(server.got) == 10
    assert len(server.sessions) == 2


def test_content_arrives_as_it_is(server, connect):
    """Lines that begin with a dot, and a last line of only one, arrive as they were sent."""
    content = b"Subject: dots\r\n\r\n.\r\n..\r\n.end\r\n.\r\n"

    connect(server.url).deliver(mail(content=content))

    assert server.got[0].content == content


def test_closed_while_idle(server, connect):
    """A connection that the server closed while nothing was sent is made anew at once; nobody
    notices, and each e-mail is there once.
    """
    smtp = connect(server.url)
    smtp.deliver(mail(1))
    server.hang_up()

    smtp.deliver(mail(2))
    smtp.deliver(mail(3))

    assert subjects(server) == ["1", "2", "3"]
    assert len(server.sessions) == 2


def test_closed_with_a_word(server, connect):
    """The same where the server says 421 to the next e-mail: it has had enough of this
    connection, not of the e-mail.
    """
    smtp = connect(server.url)
    smtp.deliver(mail(1))
    server.answers["MAIL"] = ["421 4.4.2 too many e-mails on this connection"]

    smtp.deliver(mail(2))

    assert subjects(server) == ["1", "2"]
    assert len(server.sessions) == 2


def test_421_on_a_fresh_connection(server, connect):
    """A server that says 421 to a fresh connection as well is busy: later, and no third try now."""
    smtp = connect(server.url)
    smtp.deliver(mail(1))
    server.answers["MAIL"] = ["421 4.3.2 busy"] * 2

    assert refused(smtp, mail(2)) == (
        Transient,
        "smtp_deferred",
        "the mail server refused MAIL FROM: 421 4.3.2",
    )

    assert subjects(server) == ["1"]
    assert len(server.sessions) == 2


def test_idle_for_too_long(server, connect):
    """A connection that rested for too long is not trusted: a firewall may have forgotten it."""
    smtp = connect(server.url, idle_s=0)

    smtp.deliver(mail(1))
    smtp.deliver(mail(2))

    assert subjects(server) == ["1", "2"]
    assert len(server.sessions) == 2


def test_no_answer_to_the_content(server, connect):
    """The server hangs up instead of saying 250: it may have the e-mail, so it is not sent again
    at once, but later.
    """
    smtp = connect(server.url)
    smtp.deliver(mail(1))
    server.answers["DATA"] = ["hang_up"]

    assert refused(smtp, mail(2)) == (
        Transient,
        "smtp_unreachable",
        "the mail server did not answer DATA",
    )

    assert len(server.senders) == 2
    assert len(server.sessions) == 1


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("answer", "error", "reason", "told"),
    [
        ("450 4.2.0 zoe@shop.example is greylisted", Transient, "smtp_deferred", "450 4.2.0"),
        ("452 full", Transient, "smtp_deferred", "452"),
        ("550 5.1.1 zoe@shop.example is unknown", Terminal, "smtp_rejected", "550 5.1.1"),
        ("554 no", Terminal, "smtp_rejected", "554"),
    ],
)
def test_refusals(server, connect, verb, answer, error, reason, told):  # noqa: PLR0917  # one table
    """4xx is later, 5xx is never, at whatever step; the text is not repeated, as it quotes the
    address. The connection is good for the next e-mail.
    """
    smtp = connect(server.url)
    server.answers[verb] = [answer]

    kind, *found = refused(smtp, mail(1))
    smtp.deliver(mail(2))

    step = {"MAIL": "MAIL FROM", "RCPT": "RCPT TO", "DATA": "DATA"}[verb]
    assert (kind, *found) == (error, reason, f"the mail server refused {step}: {told}")
    assert subjects(server) == ["2"]
    assert len(server.sessions) == 1


@pytest.mark.parametrize(
    ("lines", "error", "reason", "told"),
    [
        (["421 4.3.2 busy"], Transient, "smtp_deferred", "refused the connection: 421 4.3.2"),
        (["554 5.7.1 go away"], Terminal, "smtp_rejected", "refused the connection: 554 5.7.1"),
        (
            ["220 hello", "451 no", "451 4.3.0 no"],
            Transient,
            "smtp_deferred",
            "refused EHLO: 451 4.3.0",
        ),
        (
            ["220 hello", "250 hello", "250 OK", "250 OK", "451 4.3.1 full", "250 OK"],
            Transient,
            "smtp_deferred",
            "refused DATA: 451 4.3.1",
        ),
    ],
)
def test_refusals_around_the_mail(connect, lines, error, reason, told):
    """A server that refuses the connection, EHLO or the command DATA is understood alike."""
    with mail_rig.talking(*lines) as url:
        found = refused(connect(url), mail())

    assert found == (error, reason, f"the mail server {told}")


def test_answers_out_of_step(connect):
    """Where a server answers something twice, every answer comes one too early: a 250 to the
    command DATA, whose content was never sent, is no 250 to the e-mail.
    """
    lines = ["220 hello", "250 hello", "250 OK", "250 OK", "250 OK"]
    with mail_rig.talking(*lines) as url:
        found = refused(connect(url), mail())

    assert found == (Transient, "smtp_unreachable", "the mail server's answers are out of step")


@pytest.mark.parametrize("lines", [[], ["220 hello"], ["220 hello", "250 hello"]])
def test_silence(connect, lines):
    """A server that says nothing more is not waited for beyond the limit."""
    with mail_rig.talking(*lines) as url:
        kind, reason, _ = refused(connect(url, timeout_s=0.3), mail())

    assert (kind, reason) == (Transient, "smtp_unreachable")


def test_not_there(event_loop, connect):
    """No server at the address: later."""
    server = mail_rig.MailServer(event_loop)
    server.stop()

    assert refused(connect(server.url), mail()) == (
        Transient,
        "smtp_unreachable",
        "the mail server cannot be reached: Connection refused",
    )


def test_gibberish(connect):
    """A server that does not speak SMTP is no reason for a mail to be dead."""
    with mail_rig.talking("SSH-2.0-OpenSSH") as url:
        kind, reason, _ = refused(connect(url), mail())

    assert (kind, reason) == (Transient, "smtp_deferred")


def test_goodbye(server, connect):
    """At the end the server hears QUIT on each connection, and a later e-mail opens a new one."""
    smtp = connect(server.url)
    rig.together(*[lambda: smtp.deliver(mail())] * 2)

    smtp.close()

    assert server.quits == 2
    smtp.deliver(mail(3))
    assert len(server.sessions) == 3


def test_smtputf8(start_server, connect):
    """Letters beyond ASCII before the @ are sent to a server that takes them, as such."""
    server = start_server(enable_SMTPUTF8=True)

    connect(server.url).deliver(mail(to="zoé@shop.example"))

    assert server.got[0].rcpt_tos == ["zoé@shop.example"]
    assert "SMTPUTF8" in server.senders[0][1]


def test_no_smtputf8(server, connect):
    """A server that does not take them is not asked: dead, as any refused e-mail."""
    kind, reason, _ = refused(connect(server.url), mail(to="zoé@shop.example"))

    assert (kind, reason) == (Terminal, "smtp_rejected")
    assert server.senders == []


# What aiosmtpd thinks of a sign-in without encryption.
IN_CLEAR = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


def gate(*, password):
    """A server's options: it asks who you are."""

    def check(server, session, envelope, mechanism, data):
        is_known = (data.login, data.password) == (b"zoe@shop", password)
        return AuthResult(success=is_known, handled=False)

    return {"authenticator": check, "auth_required": True, "auth_require_tls": False}


def url_with(server, user, *, host="127.0.0.1", scheme="smtp", query=""):
    return f"{scheme}://{user}@{host}:{server.port}{query}"


@IN_CLEAR
def test_sign_in(start_server, connect):
    """User and password of the URL sign in; special characters are percent-encoded there."""
    server = start_server(**gate(password=b"p@ss/w:rd"))
    url = url_with(server, "zoe%40shop:p%40ss%2Fw%3Ard", query="?starttls=never")

    connect(url).deliver(mail(1))

    assert subjects(server) == ["1"]


@IN_CLEAR
def test_wrong_password(start_server, connect):
    """A wrong password is for somebody to set right, so no e-mail dies of it; neither user nor
    password is in the error.
    """
    server = start_server(**gate(password=b"right"))
    url = url_with(server, "zoe%40shop:wrong", query="?starttls=never")

    assert refused(connect(url), mail()) == (
        Transient,
        "smtp_sign_in",
        "the mail server refused the sign-in: 535 5.7.8",
    )

    assert server.got == []


def test_no_sign_in_offered(server, connect):
    """A server that knows no sign-in is not written to without."""
    url = url_with(server, "zoe:secret", query="?starttls=never")

    kind, reason, _ = refused(connect(url), mail())

    assert (kind, reason) == (Transient, "smtp_sign_in")
    assert server.got == []


def test_starttls_where_it_is_offered(start_server, connect, server_tls, client_tls):
    """STARTTLS is taken where it is offered, without being asked for."""
    server = start_server(tls_context=server_tls)

    connect(f"smtp://localhost:{server.port}", context=client_tls).deliver(mail(1))

    assert subjects(server) == ["1"]
    assert server.times_tls == [True]


@IN_CLEAR
def test_password_only_with_tls(start_server, connect):
    """Where a password is to be given and STARTTLS is not offered, it is not given."""
    server = start_server(**gate(password=b"right"))

    assert refused(connect(url_with(server, "zoe%40shop:right")), mail()) == (
        Transient,
        "smtp_no_tls",
        "the mail server offers no STARTTLS",
    )

    assert server.got == []


def test_starttls_always(server, connect):
    """`?starttls=always` does without the e-mail rather than without encryption."""
    kind, reason, _ = refused(connect(server.url + "?starttls=always"), mail())

    assert (kind, reason) == (Transient, "smtp_no_tls")
    assert server.got == []


def test_tls_from_the_start(start_server, connect, server_tls, client_tls):
    """`smtps` is TLS from the first byte."""
    server = start_server(ssl=server_tls)

    connect(f"smtps://localhost:{server.port}", context=client_tls).deliver(mail(1))

    assert subjects(server) == ["1"]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_certificate_that_nobody_knows(start_server, connect, server_tls, scheme):
    """A certificate that is not believed ends it before anything is said."""
    options = {"ssl": server_tls} if scheme == "smtps" else {"tls_context": server_tls}
    server = start_server(**options)
    smtp = connect(f"{scheme}://localhost:{server.port}", context=ssl.create_default_context())

    assert refused(smtp, mail()) == (
        Transient,
        "smtp_no_tls",
        "no TLS with the mail server: SSLCertVerificationError",
    )

    assert server.senders == []
