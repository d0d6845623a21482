"""Programs that the settings name: carriers' and payment providers', ours and others'.

A name is one of ours, an entry point of the group, or `module:attribute`. Ours are no entry points:
the project also runs from a folder, where nothing is installed.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

_SHOWN: Final = 100
"""How much of a name is repeated."""


class CannotUse(ValueError):
    """The settings ask for what cannot be had; the text names the setting and says what to do."""


def find_plugin(name: str, group: str, ours: Mapping[str, str]) -> EntryPoint:
    """What the name stands for; nothing is imported yet.

    Raises:
      CannotUse: Nothing.
    """
    if ":" in name or name in ours:
        return EntryPoint(name, ours.get(name, name), group)
    known = {entry.name: entry for entry in entry_points(group=group)}
    if name not in known:
        names = ", ".join(sorted({*ours, *known}))
        raise CannotUse(f"there is no {name[:_SHOWN]!r}; there is {names}, or module:attribute")
    return known[name]


def load_plugin(name: str, group: str, ours: Mapping[str, str]) -> Any:
    """What the name stands for, imported.

    Raises:
      CannotUse: It stands for nothing, or cannot be imported.
    """
    found = find_plugin(name, group, ours)
    try:
        return found.load()
    # TypeError: the module's name begins with a dot, and there is nothing that it is relative to.
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        why = str(error)[: 4 * _SHOWN]
        raise CannotUse(f"{name[:_SHOWN]!r} cannot be imported: {why}") from error
