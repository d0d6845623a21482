"""Which carriers labels are bought from, and the adapter of each, made once for a process."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine

from worker.errors import Transient
from worker.plugins import CannotUse, load_plugin
from worker.postage.adapter import Adapter, Factory
from worker.postage.rates import Turns
from worker.settings import Settings
from worker.work.followups import Later

GROUP: Final = "fulfillment.carrier_adapters"
"""Entry points: programs that speak to carriers."""
DEFAULT_RATE: Final = 5.0
"""Calls a second, where the settings say nothing else."""
OURS: Final = {"karrio": "worker.postage.karrio:Karrio"}
_SETTINGS: Final = {"adapter", "rate"}
"""Those that are ours; the rest are the adapter's."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A carrier whose labels are bought."""

    code: str
    adapter: Adapter
    turns: Turns

    def turn(self) -> Later | None:
        """Wait for our turn to call; when it is far away, later."""
        wait_s = self.turns.take()
        # Spread: what waits together would otherwise come back together for a few turns.
        return None if wait_s is None else Later(wait_s + random.uniform(0, 3), "rate")  # noqa: S311

    @contextmanager
    def calling(self) -> Iterator[Adapter]:
        """Call: what the carrier asks of one it asks of all."""
        try:
            yield self.adapter
        except Transient as error:
            if error.retry_after_s:
                self.turns.hold(error.retry_after_s)
            raise


Carriers = Mapping[str, Carrier]
"""By code of carrier; labels of the others are drawn."""
NONE: Final[Carriers] = {}


def carriers(engine: Engine, config: Settings) -> Carriers:
    """Those of the settings.

    Raises:
      CannotUse: The settings name an adapter that is not there, or lacks something.
    """
    made = {}
    for code, adapter in adapters(config).items():
        rate = _rate(code, config.carrier_adapters[code].get("rate"))
        made[code] = Carrier(code, adapter, Turns(engine, f"carrier {code}", rate))
    return made


def adapters(config: Settings) -> dict[str, Adapter]:
    """The adapter of each carrier; raises as `carriers`."""
    made = {}
    for code, secrets in config.carrier_adapters.items():
        settings = {name: secret.get_secret_value() for name, secret in secrets.items()}
        _rate(code, secrets.get("rate"))
        own = {name: text for name, text in settings.items() if name not in _SETTINGS}
        if not settings.get("adapter"):
            raise _cannot(code, "adapter is missing: the name of one, or module:attribute")
        try:
            factory: Factory = load_plugin(settings["adapter"], GROUP, OURS)
            made[code] = factory(code, own)
        except (ImportError, ValueError) as error:
            raise _cannot(code, str(error)) from error
    return made


def _rate(code: str, secret: Any) -> float:
    try:
        rate = float(secret.get_secret_value()) if secret else DEFAULT_RATE
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 10_000:  # noqa: PLR2004  # also no infinity
        raise _cannot(code, "rate must be calls a second, such as 5 or 0.5")
    return rate


def _cannot(code: str, why: str) -> CannotUse:
    return CannotUse(f"FULFILLMENT_CARRIER_ADAPTERS, carrier {code}: {why}")
