"""Which provider gives the money of a payment back: by its method, from the settings.

A provider's program is a function from the settings to a `Provider`. Each is made once in a
process, when it is first needed, since their libraries are slow to import.
"""

from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import Final

from worker.errors import Terminal
from worker.orders.rules import decide
from worker.plugins import CannotUse, find_plugin, load_plugin
from worker.refunds.provider import MANUAL, Provider
from worker.settings import Settings
from worker.work.judging import Decide

GROUP: Final = "fulfillment.refund_providers"
OURS: Final = {
    MANUAL: "worker.refunds.provider:manual",
    "square": "worker.refunds.square:square",
    "stripe": "worker.refunds.stripe:stripe",
}

Make = Callable[[Settings], Provider]
_VARIABLE: Final = "FULFILLMENT_REFUND_PROVIDERS"


class Providers:
    """The providers of a process."""

    def __init__(self, by_method: Mapping[str, str], make: Callable[[str], Provider]) -> None:
        self._names = {method.casefold(): name for method, name in by_method.items()}
        self._make = make
        self._made: dict[str, Provider] = {}
        self._lock = Lock()

    @property
    def names(self) -> list[str]:
        """The providers that the settings name."""
        return sorted(set(self._names.values()))

    def check(self) -> None:
        """Make every provider that the settings name.

        Raises:
          CannotUse: One cannot be had.
        """
        for name in self.names:
            self._have(name)

    def name_for(self, method: str | None) -> str:
        """Who gives money back that came in by this method."""
        return self._names.get((method or "").casefold()) or self._names.get("*", MANUAL)

    def of(self, name: str) -> Provider:
        """The provider of this name.

        Raises:
          Terminal: It cannot be had.
        """
        try:
            return self._made.get(name) or self._have(name)
        except CannotUse as error:
            raise Terminal("no_provider", str(error)) from error

    def _have(self, name: str) -> Provider:
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def step_minor(self, method: str | None, currency: str) -> int:
        """The smallest step, in minor units, of what can go back on such a payment."""
        return self.of(self.name_for(method)).step_minor(currency)


def providers(config: Settings) -> Providers:
    """The providers that the settings want.

    Raises:
      CannotUse: A name is not known.
    """
    found = Providers(config.refund_providers, partial(make, config))
    for name in found.names:
        try:
            find_plugin(name, GROUP, OURS)
        except CannotUse as error:
            raise CannotUse(f"{_VARIABLE}: {error}") from error
    return found


def make(config: Settings, name: str) -> Provider:
    """The provider of this name, new.

    Raises:
      CannotUse: There is none, it is not installed, or its settings are missing.
    """
    try:
        factory: Make = load_plugin(name, GROUP, OURS)
        return factory(config)
    except (ImportError, ValueError) as error:
        raise CannotUse(f"{_VARIABLE}: {name}: {error}") from error


def rules(found: Providers) -> Decide:
    """The rules, in a world with these providers."""
    return partial(decide, step_minor=found.step_minor)
