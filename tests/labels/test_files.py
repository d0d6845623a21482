"""The store: content under its hash, whole or not at all; orphans go, what a row names stays."""

import asyncio
import os
import resource
import time
from datetime import timedelta
from importlib.util import find_spec

import fsspec
import pytest
from fsspec.asyn import AsyncFileSystem

from tests.work import rig
from worker.errors import Transient
from worker.labels.files import FolderFiles, UrlFiles, digest_of, files, name_of
from worker.labels.prune import MIN_AGE_S, prune
from worker.settings import Settings

CONTENT = b"%PDF-1.4 a label"
SHA256 = digest_of(CONTENT)
NAME = name_of(SHA256, "label_pdf")


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    """A folder, and a URL through fsspec."""
    if request.param == "folder":
        yield files(Settings(label_store=str(tmp_path / "store")))
    else:
        yield files(Settings(label_store="memory://bucket/labels"))
        fsspec.filesystem("memory").store.clear()


def age(store, name: str, seconds: float) -> None:
    """Let time pass for a file."""
    if isinstance(store, FolderFiles):
        at = time.time() - seconds
        os.utime(store._root / name, (at, at))
    else:
        file = fsspec.filesystem("memory").store[f"/bucket/labels/{name}"]
        file.modified -= timedelta(seconds=seconds)


def test_the_name_is_the_hash():
    """`ab/ab….pdf`: nothing but the content has a say in a file's name."""
    digest = SHA256.hex()

    assert f"{digest[:2]}/{digest}.pdf" == NAME
    assert name_of(SHA256, "label_zpl") == f"{digest[:2]}/{digest}.zpl"


def test_put_and_get(store):
    """What was put is found again; what was not is None."""
    store.put(NAME, CONTENT)
    store.put(NAME, CONTENT)

    assert store.get(NAME) == CONTENT
    assert [(one.name, one.sha256) for one in store.stored()] == [(NAME, SHA256)]
    assert store.get(name_of(digest_of(b"other"), "label_pdf")) is None


def test_what_is_put_again_is_young(store):
    """A run that wants an old orphan again keeps it from being removed."""
    store.put(NAME, CONTENT)
    age(store, NAME, 7200)
    (old,) = store.stored()
    store.put(NAME, CONTENT)
    (young,) = store.stored()
    store.remove(NAME, older_than_s=MIN_AGE_S)

    assert old.age_s > 7000
    assert young.age_s < 60
    assert store.get(NAME) == CONTENT


def test_others_files_are_left_alone(tmp_path):
    """Only names of ours are listed, and so removed."""
    store = FolderFiles(tmp_path)
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "notes.txt").write_text("mine")
    (tmp_path / "ab" / f"cd{'0' * 62}.pdf").write_text("in a folder that is not its own")

    assert list(store.stored()) == []


def test_a_file_appears_whole(tmp_path):
    """A write that fails half-way leaves neither a file nor a part of one."""
    store = FolderFiles(tmp_path / "store")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (5, limits[1]))
    try:
        with pytest.raises(Transient, match="File too large") as failed:
            store.put(NAME, CONTENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert failed.value.reason == "label_store"
    assert list((tmp_path / "store").glob("*/*")) == []


def test_a_damaged_file_is_mended(tmp_path):
    """A file that a broken disk cut short is replaced when its content is put again."""
    store = FolderFiles(tmp_path)
    store.put(NAME, CONTENT)
    (tmp_path / NAME).write_bytes(CONTENT[:3])

    store.put(NAME, CONTENT)

    assert store.get(NAME) == CONTENT


@pytest.mark.parametrize(
    "url",
    [
        "nonsense://bucket/labels",
        pytest.param(
            "s3://bucket/labels",
            marks=pytest.mark.skipif(find_spec("s3fs") is not None, reason="s3fs is installed"),
        ),
    ],
)
def test_a_library_that_is_missing(url):
    """A URL that no installed library knows says what to install."""
    said = rf"no library for {url[:2]}\w*:// is installed; .*pip install 'fulfillment-worker\[s3\]'"

    with pytest.raises(Transient, match=said) as failed:
        files(Settings(label_store=url))

    assert failed.value.reason == "label_store"


class Refusing(AsyncFileSystem):
    """An object store that answers each call with the same error, as clients word it."""

    protocol = "refusing"
    cachable = False
    error: Exception | None = None

    async def _refuse(self, *arguments, **options):
        if self.error is None:
            await asyncio.sleep(3600)
        raise self.error

    _pipe_file = _cat_file = _find = _info = _rm_file = _refuse

    async def _exists(self, path, **options):
        return path == "there"


@pytest.fixture
def refusing():
    """A store in a bucket, and the error it answers with; None: it never answers."""
    fsspec.register_implementation("refusing", Refusing, clobber=True)

    def made(error, *, bucket="there", call_s=5.0):
        store = UrlFiles(f"refusing://{bucket}/labels", call_s=call_s)
        store._fs.error = error
        return store

    return made


def test_a_bucket_that_is_missing(refusing):
    """It is not taken for an empty one: nobody prints or prunes in the belief that all is well."""
    store = refusing(FileNotFoundError("The specified bucket does not exist"), bucket="missing")

    for call in (
        lambda: store.put(NAME, CONTENT),
        lambda: store.get(NAME),
        lambda: list(store.stored()),
    ):
        with pytest.raises(Transient, match="there is no such bucket"):
            call()


def test_a_file_that_is_missing(refusing):
    """In a bucket that is there it is just not there."""
    store = refusing(FileNotFoundError("a/b"))

    assert store.get(NAME) is None
    assert list(store.stored()) == []


def test_credentials_that_are_wrong(refusing):
    """It says what to look at, and nothing of what the server quotes."""
    store = refusing(PermissionError("key-1 does not exist in our records"))

    with pytest.raises(Transient) as failed:
        store.put(NAME, CONTENT)

    assert failed.value.reason == "label_store"
    told = "the label store refuses: permission denied, look at its credentials"
    assert str(failed.value) == told


def test_a_store_that_does_not_answer(refusing):
    """A call gives up, whatever the client's own limits and retries add up to."""
    store = refusing(None, call_s=0.01)

    for call in (lambda: store.put(NAME, CONTENT), lambda: store.get(NAME)):
        with pytest.raises(Transient, match="the label store refuses: no answer in time") as failed:
            call()
        assert failed.value.reason == "label_store"


def test_prune(engine, shipped, drain, config, tmp_path):
    """Old files that no row names go; those that a row names, and young ones, stay."""
    shipped()
    drain()
    store = files(config)
    kept = {one.name for one in store.stored()}
    young = name_of(digest_of(b"young"), "slip_pdf")
    part = f"{NAME}.abc.part"
    for name, content in ((NAME, CONTENT), (young, b"young"), (part, b"%PD")):
        store.put(name, content)
    for name in (*kept, NAME, part):
        age(store, name, MIN_AGE_S + 1)

    would = {one.name for one in prune(engine, store, dry_run=True)}
    before = {one.name for one in store.stored()}
    removed = {one.name for one in prune(engine, store)}

    assert would == removed == {NAME, part}
    assert before == {*kept, young, NAME, part}
    assert {one.name for one in store.stored()} == {*kept, young}
    assert rig.count(engine, "documents") == 3


def test_labels_at_a_url(engine, shipped, drain):
    """A worker can keep its labels at a URL."""
    shipped()
    drain(label_store="memory://bucket/made")
    store = files(Settings(label_store="memory://bucket/made"))
    found = {one.sha256 for one in store.stored()}
    fsspec.filesystem("memory").store.clear()

    with engine.connect() as connection:
        named = connection.exec_driver_sql("select sha256 from documents").scalars().all()
    assert {bytes(one) for one in named} == found


def test_the_default_is_a_folder_of_the_state(tmp_path):
    """Without a setting, files are kept beside the embedded servers' data."""
    files(Settings(state_dir=tmp_path)).put("ab/" + "ab" * 32 + ".pdf", b"label")

    assert (tmp_path / "labels" / "ab" / ("ab" * 32 + ".pdf")).read_bytes() == b"label"
