"""E-mail addresses as they may be written to: checked, and in the form that goes over the wire."""

import re
from typing import Final

import idna

MAX_LENGTH: Final = 254
"""RFC 5321, 4.5.3.1.3: a path of 256 octets, without its brackets."""
MAX_LOCAL_LENGTH: Final = 64
"""RFC 5321, 4.5.3.1.1."""

# RFC 5322 `dot-atom`, with letters beyond ASCII as RFC 6531 allows. Quoted local parts are left
# out: most servers refuse them, and `"a@b"@c` is a mistake more often than an address.
_ATOM: Final = r"[^\W_]|[!#$%&'*+/=?^_`{|}~-]"
_LOCAL: Final = re.compile(rf"(?:{_ATOM})+(?:\.(?:{_ATOM})+)*")
_DOMAIN: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")


class BadAddress(ValueError):
    """It is no e-mail address. The text does not quote it."""


def checked(address: str) -> str:
    """The address with its domain in ASCII, by IDNA 2008: `jo@bücher.example` becomes
    `jo@xn--bcher-kva.example`. Letters beyond ASCII before the `@` stay: only a server with
    SMTPUTF8 takes them.

    Raises:
      BadAddress: It is none.
    """
    local, at, domain = address.strip().rpartition("@")
    if not at or not _LOCAL.fullmatch(local) or len(local.encode()) > MAX_LOCAL_LENGTH:
        raise BadAddress("it is no e-mail address")
    try:
        # 2008, not the standard library's 2003, in which straße.example is strasse.example: another
        # domain, and a stranger's.
        ascii_domain = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError:
        raise BadAddress("its domain is none") from None
    if not _DOMAIN.fullmatch(ascii_domain) or len(local.encode()) + len(domain) >= MAX_LENGTH:
        raise BadAddress("its domain is none")
    return f"{local}@{ascii_domain}"
