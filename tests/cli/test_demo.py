"""The demo is nobody's business but its own: what a shop has set does not reach its workers."""

from pathlib import Path

import pytest
from pydantic import AliasChoices

from worker.demo.run import KEPT, own_environment
from worker.embedded.keeper import EmbeddedPair
from worker.settings import Settings

PAIR = EmbeddedPair("postgresql://demo", "redis://demo", 1, None)


def variables():
    """All names that settings are read by, but for the one that a supervisor sets for its own."""
    for name, field in Settings.model_fields.items():
        match field.validation_alias:
            case AliasChoices(choices=names):
                yield from names
            case str(alias):
                yield alias
            case None:
                yield f"FULFILLMENT_{name.upper()}"


@pytest.mark.parametrize("spelled", [str.upper, str.lower])
def test_a_shops_settings_stay_out(spelled):
    """Of every setting there is, only what says nothing of the shop is taken over; whatever is no
    setting stays.
    """
    names = set(variables()) - {"PROMETHEUS_MULTIPROC_DIR"}
    given = {spelled(name): "the shop's" for name in names} | {"PATH": "/bin", "LANG": "C"}

    made = own_environment(given, Path("/demo"), PAIR)

    others = {name: value for name, value in made.items() if value == "the shop's"}
    assert others.keys() == ({*KEPT} if spelled is str.upper else set())
    assert (made["PATH"], made["LANG"]) == ("/bin", "C")
    assert (made["DATABASE_URL"], made["REDIS_URL"]) == (PAIR.database_url, PAIR.redis_url)


def test_a_closed_door_is_open_in_the_demo(monkeypatch):
    """Its unsigned messages come in where the shop's must be signed and are of some kinds only."""
    shop = {"BROKER_DOOR_KEYS": f"a:{'x' * 32}", "FULFILLMENT_BROKER_DOOR_KINDS": "ship"}

    for name, value in own_environment(shop, Path("/demo"), PAIR).items():
        monkeypatch.setenv(name, value)
    config = Settings()

    assert config.signing_keys == ()
    assert config.broker_door_kinds == Settings.model_fields["broker_door_kinds"].default
    assert (config.smtp_url, config.refund_providers, config.carrier_adapters) == (None, {}, {})
