"""What workers run in place of `actors`: the same, with the bug that the environment names.

`MUTANT_CLOCK_S` is by how many seconds their clock is wrong.
"""

import os
import time

from tests.faults.mutants import VARIABLE, plant

if wrong_s := float(os.environ.get("MUTANT_CLOCK_S") or 0):
    _right = time.time
    time.time = lambda: _right() + wrong_s
if name := os.environ.get(VARIABLE):
    plant(name)

from actors import broker  # with the bug in it

__all__ = ["broker"]
