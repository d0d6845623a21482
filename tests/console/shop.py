"""A shop at work: a real worker, the console on its database, a mail server, and an account at a
payment provider.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from messages import Command
from tests.console.browser import Browser
from tests.emails import mail_rig
from tests.fakes.square import FakeSquare
from tests.faults.world import World
from tests.web.served import served
from tests.work import rig
from worker.console import sessions, users
from worker.servers import Servers
from worker.settings import Settings
from worker.web.serve import door

WITHIN_S = 60
"""For the worker: the first that it does waits for its start."""


class Shop:
    """What surrounds the browsers."""

    def __init__(
        self, launched: Any, address: str, engine: Engine, mail: Any, square: FakeSquare
    ) -> None:
        self._launched, self._address = launched, address
        self.engine, self.mail, self.square = engine, mail, square

    @contextmanager
    def person(self, name: str, role: users.Role) -> Iterator[Browser]:
        """Somebody who is signed in, at a screen."""
        with self.engine.begin() as connection:
            users.add(connection, "test", name, role)
            token = sessions.begin(connection, name, by="link")
        browser = Browser(self._launched, self._address, token)
        yield browser
        browser.close()

    def done(self, *commands: Command) -> None:
        """What others hand in; until the worker has applied it."""
        rig.accepted(self.engine, *commands)
        waiting = list(commands)

        def is_done() -> bool:
            while waiting and rig.state(self.engine, waiting[-1]) == "applied":
                waiting.pop()
            return not waiting

        rig.until(is_done, within_s=WITHIN_S)

    def mailbox(self, address: str) -> list[str]:
        """The subjects of what was sent to this address, in alphabetical order."""
        return sorted(
            mail_rig.read(one.content)["Subject"]
            for one in self.mail.got
            if address in one.rcpt_tos
        )


@contextmanager
def at_work(launched: Any, folder: Path, database_url: str, redis_url: str) -> Iterator[Shop]:
    """The shop, while it is open. Its worker is `fulfillment worker`; the console is served by this
    process, behind the door that `fulfillment web` has.
    """
    world = World.lent(folder, 0, database_url, redis_url)
    with ExitStack() as until_closed:
        mail = mail_rig.MailServer(until_closed.enter_context(mail_rig.event_loop()))
        until_closed.callback(mail.stop)
        square = until_closed.enter_context(FakeSquare())
        account = {"SQUARE_ACCESS_TOKEN": square.token, "SQUARE_URL": square.url}
        until_closed.enter_context(
            world.worker(
                0,
                processes=1,
                SMTP_URL=mail.url,
                FULFILLMENT_EMAIL_FROM="orders@shop.example",
                FULFILLMENT_REFUND_PROVIDERS='{"*": "square"}',
                **account,
            )
        )
        # The files of labels are where the worker puts them.
        config = Settings(state_dir=folder / "state", refund_providers={"*": "square"}, **account)
        made = until_closed.enter_context(
            door(config, Servers(database_url, redis_url), has_keys=True)
        )
        address = until_closed.enter_context(served(made))
        yield Shop(launched, address, made.engine, mail, square)
