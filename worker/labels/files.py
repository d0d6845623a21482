"""Where label files are kept: under their SHA-256, in a folder or at a URL.

A name follows from the content, so nothing that an order holds can steer it, and whoever writes
writes the same bytes: nothing is ever overwritten with something else. A file that is there is
whole.
"""

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Final, Literal, Protocol

from worker.errors import Transient
from worker.orders.value import value
from worker.settings import Settings

CALL_S: Final = 10.0
"""For one file, an object store's own retries included: files of a few batch-mates, none of which
can be put, must take less than `batch_limit_s`.
"""

Kind = Literal["label_pdf", "label_zpl", "slip_pdf"]
KINDS: Final[tuple[Kind, ...]] = ("label_pdf", "label_zpl", "slip_pdf")

_NAME: Final = re.compile(
    r"([0-9a-f]{2})/(?P<sha256>\1[0-9a-f]{62})\.(pdf|zpl)(?P<part>\..+\.part)?"
)


@value
class Stored:
    """A file of the store: its name below the root, the hash in it, seconds since it was put. One
    that was never finished has no hash.
    """

    name: str
    sha256: bytes | None
    age_s: float


class Files(Protocol):
    """A place for files. Every method raises `Transient` when the place cannot be used."""

    def put(self, name: str, content: bytes) -> None:
        """Keep the content; once this returns it survives a power cut. One that is there counts as
        put now.
        """

    def get(self, name: str) -> bytes | None:
        """The content; None if there is no such file."""

    def stored(self) -> Iterator[Stored]:
        """Every file that is a label's or a slip's; others in the same place are none of ours."""

    def remove(self, name: str, *, older_than_s: float) -> None:
        """Remove the file, unless it is gone already or was put again meanwhile."""


def name_of(sha256: bytes, kind: Kind) -> str:
    """`ab/abcd….pdf`: a name below the root; folders of some hundred files stay quick."""
    digest = sha256.hex()
    return f"{digest[:2]}/{digest}.{'zpl' if kind == 'label_zpl' else 'pdf'}"


def digest_of(content: bytes) -> bytes:
    """The SHA-256 that a file is stored under."""
    return hashlib.sha256(content).digest()


def files(config: Settings) -> Files:
    """The place that `FULFILLMENT_LABEL_STORE` names: a folder, or a URL such as s3://bucket/labels.

    Raises:
      Transient: The URL's library is not installed, or does not know the URL.
    """
    store = config.label_store or str(config.state_dir / "labels")
    return UrlFiles(store) if "://" in store else FolderFiles(Path(store))


class FolderFiles:
    """A folder of a file system: a file is written beside its place, then renamed into it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, content: bytes) -> None:
        path = self._root / name
        with _refusals():
            if path.exists() and path.read_bytes() == content:
                os.utime(path)  # it is wanted again: whoever looks for orphans leaves it
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(
                dir=path.parent, prefix=f"{path.name}.", suffix=".part"
            )
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).chmod(0o640)
                Path(temporary).replace(path)
            except BaseException:
                with suppress(OSError):
                    Path(temporary).unlink()
                raise
            for folder in (path.parent, self._root):
                _sync(folder)

    def get(self, name: str) -> bytes | None:
        with _refusals():
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                return None

    def stored(self) -> Iterator[Stored]:
        now = time.time()
        with _refusals():
            for path in sorted(self._root.glob("*/*")):
                name = path.relative_to(self._root).as_posix()
                with suppress(FileNotFoundError):
                    yield from _stored(name, now - path.stat().st_mtime)

    def remove(self, name: str, *, older_than_s: float) -> None:
        path = self._root / name
        with _refusals(), suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime >= older_than_s:
                path.unlink()


class UrlFiles:
    """An object store, through fsspec: an object is there as a whole or not at all."""

    def __init__(self, url: str, *, call_s: float = CALL_S) -> None:
        with _refusals():
            # fsspec comes with the extra: not everyone has it.
            try:
                self._fs, root = import_module("fsspec.core").url_to_fs(url)
            except (ImportError, ValueError) as error:
                scheme = url.partition(":")[0]
                raise Transient(
                    "label_store",
                    f"FULFILLMENT_LABEL_STORE: no library for {scheme}:// is installed; for s3://"
                    " it is pip install 'fulfillment-worker[s3]'",
                ) from error
        self._root: str = root.rstrip("/")
        # Clients that reach a network are asynchronous within, and all take a limit.
        self._limit = {"timeout": call_s} if self._fs.async_impl else {}

    def put(self, name: str, content: bytes) -> None:
        with _refusals():
            self._fs.pipe_file(f"{self._root}/{name}", content, **self._limit)

    def get(self, name: str) -> bytes | None:
        with _refusals():
            try:
                content: bytes = self._fs.cat_file(f"{self._root}/{name}", **self._limit)
            except FileNotFoundError:
                self._need_bucket()
                return None
            return content

    def stored(self) -> Iterator[Stored]:
        now = time.time()
        with _refusals():
            self._fs.invalidate_cache()
            try:
                paths: list[str] = sorted(self._fs.find(self._root))
            except FileNotFoundError:
                paths = []
            if not paths:
                self._need_bucket()
            for path in paths:
                with suppress(FileNotFoundError):
                    age_s = now - self._fs.modified(path).timestamp()
                    yield from _stored(path.removeprefix(f"{self._root}/"), age_s)

    def remove(self, name: str, *, older_than_s: float) -> None:
        path = f"{self._root}/{name}"
        with _refusals(), suppress(FileNotFoundError):
            self._fs.invalidate_cache()
            if time.time() - self._fs.modified(path).timestamp() >= older_than_s:
                self._fs.rm_file(path)

    def _need_bucket(self) -> None:
        """Tell an empty bucket from one that is not there: a client says `not found` for both."""
        if not self._fs.exists(self._root.partition("/")[0] or "/", **self._limit):
            raise FileNotFoundError


_MEANT: Final = {
    FileNotFoundError: "there is no such bucket",
    PermissionError: "permission denied, look at its credentials",
    TimeoutError: "no answer in time",
}
"""What a client of an object store says with a class; a file system has words of its own."""


def _stored(name: str, age_s: float) -> Iterator[Stored]:
    if found := _NAME.fullmatch(name):
        yield Stored(name, None if found["part"] else bytes.fromhex(found["sha256"]), age_s)


@contextmanager
def _refusals() -> Iterator[None]:
    """Whatever a place raises: a full disk, no permission, no network. Another moment, or whoever
    runs the place, heals it.
    """
    try:
        yield
    except Transient:
        raise
    except OSError as error:
        meant = (told for kind, told in _MEANT.items() if isinstance(error, kind))
        message = error.strerror or next(meant, type(error).__name__)
        raise Transient("label_store", f"the label store refuses: {message}") from error
    except Exception as error:
        # Clients of object stores raise what they like, and their texts may quote credentials.
        kind = type(error).__name__
        raise Transient("label_store", f"the label store refuses: {kind}") from error


def _sync(folder: Path) -> None:
    """Make a rename in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
