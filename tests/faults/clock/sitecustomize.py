"""For a worker under libfaketime 0.9.10, which breaks what `time.sleep` calls."""

import select
import time

time.sleep = lambda seconds: select.select([], [], [], seconds)
