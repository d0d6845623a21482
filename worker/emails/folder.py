"""E-mails as files: what is done with them where no mail server is set."""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from worker.emails.message import Mail
from worker.errors import Transient

LEFT_BEHIND_S: Final = 3600.0
_UNFINISHED: Final = ".part"


@dataclass(frozen=True, slots=True)
class Folder:
    """Writes each e-mail as `<id>.eml`, whole or not at all; a copy is the same file again.

    Raises:
      worker.errors.Transient: The folder cannot be written to.
    """

    path: Path

    def deliver(self, mail: Mail) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=self.path, prefix=".", suffix=_UNFINISHED, delete=False
            ) as file:
                try:
                    file.write(mail.content)
                    file.flush()
                    os.fsync(file.fileno())
                    Path(file.name).replace(self.path / f"{mail.mail_id}.eml")
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise Transient("mail_folder", f"cannot write e-mails: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is kept open."""

    def old(self, older_than_s: float) -> Iterator[Path]:
        """E-mails that were written so long ago; and what a writer left behind that died, after an
        hour.
        """
        now = time.time()
        for path in sorted(self.path.glob("*")):
            is_left = path.name.startswith(".") and path.suffix == _UNFINISHED
            if is_left or _is_mail(path):
                with suppress(FileNotFoundError):
                    age_s = now - path.stat().st_mtime
                    if age_s >= (LEFT_BEHIND_S if is_left else older_than_s):
                        yield path

    def remove(self, mail_ids: Iterable[UUID]) -> int:
        """Remove these e-mails; how many there were.

        Raises:
          worker.errors.Transient: The folder cannot be written to.
        """
        return sum(removed(self.path / f"{mail_id}.eml") for mail_id in mail_ids)


def removed(path: Path) -> bool:
    """Remove the file; whether it was there.

    Raises:
      worker.errors.Transient: The folder cannot be written to.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Transient("mail_folder", f"cannot remove e-mails: {error.strerror}") from error
    return True


def _is_mail(path: Path) -> bool:
    """Whether it is one of ours: others may share the folder."""
    try:
        return path.suffix == ".eml" and str(UUID(path.stem)) == path.stem
    except ValueError:
        return False
