"""Who may come in through the broker door: which kinds of command, and signed by whose keys.

Whoever can write to Redis can publish a refund, unless the merchant says otherwise here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from messages.signing import SigningKey
from messages.wire import KINDS

Refusal = Literal["kind_not_allowed", "unsigned", "bad_signature"]

SIGNED: Final = {"key_id", "signature"}
"""What a signed message says beside its content."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What the broker door lets in; without keys nothing has to be signed."""

    kinds: frozenset[str] = frozenset(KINDS)
    keys: Mapping[str, SigningKey] = field(default_factory=dict)

    @classmethod
    def of(cls, kinds: Iterable[str], keys: Iterable[SigningKey]) -> "Admission":
        return cls(frozenset(kinds), {key.key_id: key for key in keys})

    @property
    def is_open(self) -> bool:
        """Whether everything comes in."""
        return not self.keys and self.kinds >= set(KINDS)

    def refusal(self, kind: str, args: list[Any], says: Mapping[str, Any]) -> Refusal | None:
        """Why a message of this kind does not come in; None if it does."""
        if kind not in self.kinds:
            return "kind_not_allowed"
        if not self.keys:
            return None
        if not is_signed(args, says):
            return "unsigned"
        key = self.keys.get(says["key_id"])
        if key is None or not key.signed(kind, args[0], says["signature"]):
            return "bad_signature"
        return None


def is_signed(args: list[Any], says: Mapping[str, Any]) -> bool:
    """Whether the message has the form of a signed one, whatever its signature is worth."""
    return (
        says.keys() == SIGNED
        and len(args) == 1
        and all(type(value) is str for value in (*args, *says.values()))
    )


OPEN: Final = Admission()
"""Everything comes in."""
