"""Passwords: argon2id, with the parameters that RFC 9106 has for machines with little memory.

Whether one is right takes the same time for a name that nobody has.
"""

from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST: Final = 12
LONGEST: Final = 200
"""Letters."""

_HASHER: Final = PasswordHasher()


class Unusable(ValueError):
    """It cannot be a password; the message says what one has to be."""


def hashed(password: str) -> str:
    """What is kept of it; takes a tenth of a second and 64 MiB.

    Raises:
      Unusable: It is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise Unusable(f"must be {SHORTEST} to {LONGEST} letters long")
    return _HASHER.hash(_bytes(password))


def is_right(password: str, kept: str | None) -> bool:
    """Whether what is kept is of this password; of None nothing is."""
    try:
        _HASHER.verify(kept or _of_nobody(), _bytes(password[: LONGEST + 1]))
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


def renewed(password: str, kept: str | None) -> str | None:
    """What is to be kept of a right password now, if that was made with other parameters."""
    return _HASHER.hash(_bytes(password)) if kept and _HASHER.check_needs_rehash(kept) else None


def _bytes(password: str) -> bytes:
    return password.encode(errors="surrogatepass")


@cache
def _of_nobody() -> str:
    return _HASHER.hash("nobody has this password")
