"""Settings of e-mails: where they leave, and what is refused before anything is sent."""

import pytest
from pydantic import ValidationError

from worker.emails.folder import Folder
from worker.emails.route import delivery, emails_route, sender
from worker.emails.smtp import Smtp
from worker.emails.smtp_url import SmtpServer, read_smtp_url
from worker.settings import Settings

SMTP = {"SMTP_URL": "smtp://mail.example", "email_from": "orders@shop.example"}
SERVERS = {"DATABASE_URL": "postgresql://db.example/x", "REDIS_URL": "redis://redis.example"}


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", SmtpServer("mail.example", 25, is_tls=False, starttls="offered")),
        (
            "smtp://mail.example:2525/",
            SmtpServer("mail.example", 2525, is_tls=False, starttls="offered"),
        ),
        ("smtps://mail.example", SmtpServer("mail.example", 465, is_tls=True, starttls="offered")),
        ("smtp://[::1]:25", SmtpServer("::1", 25, is_tls=False, starttls="offered")),
        (
            "smtp://u%40x:p%2F%3A@mail.example",
            SmtpServer(
                "mail.example", 587, is_tls=False, starttls="always", user="u@x", password="p/:"
            ),
        ),
        (
            "smtp://u:p@mail.example?starttls=never",
            SmtpServer("mail.example", 587, is_tls=False, starttls="never", user="u", password="p"),
        ),
        (
            "smtps://u:p@mail.example",
            SmtpServer("mail.example", 465, is_tls=True, starttls="always", user="u", password="p"),
        ),
    ],
)
def test_smtp_url(url, server):
    """What a URL says, and what it leaves to the standards."""
    assert read_smtp_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "mail.example",
        "http://mail.example",
        "smtp://",
        "smtp://mail.example:99999",
        "smtp://mail.example:port",
        "smtp://mail.example/folder",
        "smtp://secret@mail.example",
        "smtp://:secret@mail.example",
        "smtp://mail.example?tls=yes",
        "smtp://mail.example?starttls=perhaps",
        "smtp://us%C3%A9r:secret@mail.example",
        "smtp://[mail.example",
        "smtp://" + "a" * 64 + ".example",
    ],
)
def test_bad_smtp_url(url):
    """What is none is refused, in a sentence without the URL: it may hold a password."""
    with pytest.raises(ValidationError) as caught:
        Settings(**SMTP | {"SMTP_URL": url})

    (error,) = caught.value.errors(include_url=False, include_input=False)
    assert error["loc"] == ("SMTP_URL",)
    assert "secret" not in error["msg"]
    assert "mail.example" not in error["msg"]


@pytest.mark.parametrize(
    ("setting", "variable"),
    [
        ({"email_from": "orders"}, "email_from"),
        ({"email_reply_to": "a@b"}, "email_reply_to"),
        ({"email_time_zone": "Mars/Olympus"}, "email_time_zone"),
        ({"email_time_zone": "../../etc/passwd"}, "email_time_zone"),
        ({"email_templates_dir": "/nowhere/at/all"}, "email_templates_dir"),
        ({"shop_name": "Shop\r\nBcc: eve@evil.example"}, "shop_name"),
        ({"smtp_timeout_s": 60}, "smtp_timeout_s"),
    ],
)
def test_bad_setting(setting, variable):
    """A setting that would spoil every e-mail is refused, by name, before there is one."""
    with pytest.raises(ValidationError) as caught:
        Settings(**setting)

    assert [error["loc"] for error in caught.value.errors()] == [(variable,)]


def test_language_without_a_catalogue(tmp_path):
    """The shop's language must be one that there is a catalogue for: here, or in its folder."""
    with pytest.raises(ValidationError, match="'de' is none of the languages there are: en, fr"):
        Settings(email_locale="de")

    (tmp_path / "de.po").write_text('msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8"\n')
    assert Settings(email_locale="de", email_templates_dir=tmp_path).email_locale == "de"


def test_nobody_to_write_as():
    """With a mail server there must be an address to write from."""
    with pytest.raises(ValidationError, match="FULFILLMENT_EMAIL_FROM must be set with SMTP_URL"):
        Settings(SMTP_URL="smtp://mail.example")


def test_production_needs_a_way_out():
    """In production e-mails do not end in a folder that nobody knows of; a producer, which sends
    none, has its settings all the same.
    """
    config = Settings(**SERVERS, env="production")

    with pytest.raises(ValueError, match="SMTP_URL must be set when FULFILLMENT_ENV=production"):
        delivery(config)


@pytest.mark.parametrize("way", [SMTP, {"email_folder": "/srv/mail"}])
def test_production_with_a_way_out(way):
    """A mail server, or a folder that was named, will do."""
    assert Settings(**SERVERS, **way, env="production").mail_problem is None


def test_delivery(tmp_path):
    """A mail server if one is set, else the folder that is named, else one beside the state."""
    assert isinstance(delivery(Settings(**SMTP)), Smtp)
    assert delivery(Settings(email_folder=tmp_path)) == Folder(tmp_path)
    assert delivery(Settings(state_dir=tmp_path)) == Folder(tmp_path / "mail")
    assert delivery(Settings(SMTP_URL="", state_dir=tmp_path)) == Folder(tmp_path / "mail")


def test_sender():
    """From and reply as the settings say, domains in ASCII."""
    config = Settings(
        email_from="o@bücher.example", shop_name="Bücher", email_reply_to="h@x.example"
    )

    assert sender(config).address == "o@xn--bcher-kva.example"
    assert (sender(config).name, sender(config).reply_to) == ("Bücher", "h@x.example")


def test_half_of_the_threads(engine):
    """A slow mail server leaves half of a process's threads to the commands, and holds no second
    e-mail under the same claim.
    """
    route = emails_route(engine, Settings(threads=8))

    assert (route.name, route.drainers, route.batch_size) == ("emails", 4, 1)


def test_one_thread(engine):
    """A process of one thread sends e-mails as well."""
    assert emails_route(engine, Settings(threads=1)).drainers == 1
