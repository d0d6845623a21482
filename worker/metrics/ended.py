"""Processes that ended: what they counted is kept, in one file for all of them."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead

from worker.metrics.folder import ALLOCATED_BYTES

_ENDED: Final = "ended"


def bury(folder: Path) -> None:
    """Add what ended processes counted to the file of all that ended, and drop what they gauged.

    One file, or a worker whose processes die every minute would fill its disk.
    """
    for kind in ("counter", "histogram"):
        ended = [path for path in folder.glob(f"{kind}_*.db") if _has_ended(path)]
        if not ended:
            continue
        sums, new = folder / f"{kind}_{_ENDED}.db", folder / f"{kind}.new"
        new.write_bytes(bytes(ALLOCATED_BYTES))  # a full disk is an error here, not SIGBUS later
        total = MmapedDict(str(new))  # type: ignore[no-untyped-call]  # so is the whole module
        for path in (sums, *ended):
            with suppress(FileNotFoundError):
                for key, value, _, _ in MmapedDict.read_all_values_from_file(path):  # type: ignore[no-untyped-call]  # as above
                    total.write_value(key, total.read_value(key)[0] + value, 0.0)  # type: ignore[no-untyped-call]  # as above
        total.close()  # type: ignore[no-untyped-call]  # as above
        new.replace(sums)
        for path in ended:
            path.unlink()
    for path in folder.glob("gauge_*.db"):
        if _has_ended(path):
            mark_process_dead(_pid(path), str(folder))  # type: ignore[no-untyped-call]  # untyped, too


def _pid(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])


def _has_ended(path: Path) -> bool:
    if path.stem.endswith(_ENDED):
        return False
    try:
        os.kill(_pid(path), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
