"""Signing: how a message of the broker door says who wrote it, in any language.

A signed message carries its content as JSON *text*, and beside it whose signature that is:

  args    [text]
  kwargs  {"key_id": "...", "signature": "..."}

`signature` is HMAC-SHA256 in lower-case hexadecimal, under the key's secret, of the actor's name,
a line feed and the text, in UTF-8. The text is signed as it is sent: no canonical JSON is needed.
"""

import hmac
import re
from dataclasses import dataclass, field
from typing import Final

MIN_SECRET_BYTES: Final = 32
"""As long as what SHA-256 gives: a shorter one would be the weakest part (RFC 2104, 3)."""
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret that producers and workers share, and the name that messages call it by.

    Raises:
      ValueError: The name is not 1 to 64 letters, digits or `._-`, or the secret is too short.
    """

    key_id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.key_id):
            raise ValueError("a key's id must be 1 to 64 letters, digits or ._-")
        if len(self.secret) < MIN_SECRET_BYTES:
            raise ValueError(f"a key's secret must have {MIN_SECRET_BYTES} bytes or more")

    @classmethod
    def of(cls, text: str) -> "SigningKey":
        """The key written as `id:secret`.

        Raises:
          ValueError: As above, or the secret has no UTF-8. What was given is not in the message.
        """
        key_id, _, secret = text.partition(":")
        try:
            return cls(key_id, secret.encode())
        except UnicodeEncodeError:
            raise ValueError("a key's secret must be UTF-8") from None

    def sign(self, actor_name: str, text: str) -> str:
        """The signature of a message to this actor.

        Raises:
          UnicodeEncodeError: The text has no UTF-8: it holds half a surrogate pair.
        """
        return hmac.digest(self.secret, f"{actor_name}\n{text}".encode(), "sha256").hex()

    def signed(self, actor_name: str, text: str, signature: str) -> bool:
        """Whether the signature is this key's, in a time that tells nothing about the right one."""
        try:
            return hmac.compare_digest(self.sign(actor_name, text), signature)
        except (UnicodeEncodeError, TypeError):  # no UTF-8; letters that no signature has
            return False
