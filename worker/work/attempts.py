"""Trying a transaction again at once, three times with jitter, where fresh data may heal it."""

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError

from worker.errors import LOCK_TIMEOUT, RETRY_AT_ONCE, is_disconnect, sqlstate

ATTEMPTS: Final = 3

T = TypeVar("T")


def at_once(transaction: Callable[[bool], T], *, wait_for_locks: bool = True) -> T:
    """The transaction's result; its argument says whether it may wait for locks.

    It begins by locking the work that is still ours and undecided, so repeating it after a COMMIT
    whose answer was lost finds out what happened, and never assumes.

    Raises:
      sqlalchemy.exc.DBAPIError: What no repetition at once can heal.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return transaction(wait_for_locks)
        except DBAPIError as error:
            if sqlstate(error) == LOCK_TIMEOUT:
                wait_for_locks = False
            elif sqlstate(error) not in RETRY_AT_ONCE and not is_disconnect(error):
                raise
            if attempt == ATTEMPTS:
                raise
            time.sleep(random.uniform(0.02, 0.2) * attempt)  # noqa: S311  # jitter, no secret
    raise AssertionError("the last attempt returned or raised")
