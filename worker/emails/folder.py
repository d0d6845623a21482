"""E-mails as files: what is done with them where no mail server is set."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from worker.emails.message import Mail
from worker.errors import Transient


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
            with tempfile.NamedTemporaryFile(dir=self.path, prefix=".", delete=False) as file:
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
