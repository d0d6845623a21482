"""Faults of the label folder do what they say, and undo it: as root on a disk of its own, as
anybody else by closing the folder.
"""

import os
import random
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.faults import CATALOGUE, Scene, own_disk
from worker.errors import Transient
from worker.labels.files import FolderFiles

NOBODY = 65534
OLD = ("aa/1.pdf", b"old")
NEW = (("aa/2.pdf", b"x" * 2**21), ("bb/1.pdf", b"y" * 2**21))
"""Into a folder that is there and into a new one; larger than what a full disk may still have."""


@pytest.fixture
def place():
    """A folder that anybody else may enter, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="fulfillment-disk-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def plain(place):
    """A scene of a user without rights."""
    with ExitStack() as stack:
        if os.geteuid() == 0:
            shutil.chown(place, NOBODY)
            os.setresuid(NOBODY, NOBODY, 0)  # the real one too, or `mount` would still do it
            stack.callback(os.setresuid, 0, 0, 0)
        yield Scene(None, labels=stack.enter_context(own_disk(place / "labels")))


@pytest.fixture
def mounted(place):
    """A scene with a disk of its own."""
    with own_disk(place / "labels") as folder:
        if not folder.is_mount():
            pytest.skip("only root can give a folder a disk of its own")
        yield Scene(None, labels=folder)


class Midst(random.Random):
    """Chance that is asked how long the fault lasts: meanwhile files are put."""

    def __init__(self, store):
        super().__init__(0)
        self.store = store
        self.refusals = []

    def uniform(self, *_):
        for name, content in NEW:
            with pytest.raises(Transient) as refused:
                self.store.put(name, content)
            self.refusals.append(str(refused.value))
            assert self.store.get(name) is None
        assert self.store.get(OLD[0]) == OLD[1]
        return 0


def acted(name, scene):
    """What the store says while the fault lasts; before it and after it files can be put."""
    store = FolderFiles(scene.labels)
    store.put(*OLD)
    chance = Midst(store)

    assert CATALOGUE[name].missing(scene) is None
    CATALOGUE[name].act(scene, chance)

    for one in NEW:
        store.put(*one)
    assert [store.get(name) for name, _ in (OLD, *NEW)] == [text for _, text in (OLD, *NEW)]
    return chance.refusals


def test_the_folder_of_a_plain_user_is_closed(plain):
    """It takes nothing, neither in folders that are there nor in new ones; that no disk of it can
    be full is said.
    """
    refused = "the label store refuses: Permission denied"

    assert acted("label_disk_read_only", plain) == [refused] * 2
    assert CATALOGUE["label_disk_full"].missing(plain).startswith("only root can")


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("label_disk_full", "No space left on device"),
        ("label_disk_read_only", "Read-only file system"),
    ],
)
def test_a_disk_of_its_own(mounted, name, refused):
    """It is full, or read-only, as a file system says it."""
    assert acted(name, mounted) == [f"the label store refuses: {refused}"] * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may write anywhere")
def test_root_without_a_disk(place):
    """Root may write anywhere: that is said, and nothing is injected."""
    scene = Scene(None, labels=place)

    assert CATALOGUE["label_disk_read_only"].missing(scene).startswith("root may write into any")
    assert CATALOGUE["label_disk_full"].missing(scene).startswith("only root can")
