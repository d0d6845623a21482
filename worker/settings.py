"""Settings: the only reader of the environment. Units are in the names, defaults suit production.

`DATABASE_URL` and `REDIS_URL` carry no prefix, as everywhere; everything else is `FULFILLMENT_*`.
Unset URLs mean the embedded pair, which production refuses.
"""

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    HttpUrl,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from messages.fields import Name, Weight
from messages.order import Address
from messages.signing import SigningKey
from messages.wire import KINDS, ROUTES
from worker.emails.address import checked
from worker.emails.smtp_url import read_smtp_url

_CENTURY_S: Final = 36_500 * 86_400
"""In place of `inf`, of which no interval can be made."""
_MOST_MS: Final = 2**31 - 1
"""What PostgreSQL takes for a time limit."""

Mailbox = Annotated[str, AfterValidator(checked)]


def default_state_dir() -> Path:
    """`$XDG_STATE_HOME/fulfillment`, or `/var/lib/fulfillment` for root (XDG base directories)."""
    if os.geteuid() == 0:
        return Path("/var/lib/fulfillment")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "fulfillment"


def default_run_dir() -> Path:
    """`$XDG_RUNTIME_DIR/fulfillment`, `/run/fulfillment` for root, else a temporary folder."""
    if os.geteuid() == 0:
        return Path("/run/fulfillment")
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(folder) / "fulfillment"
    return Path(tempfile.gettempdir()) / f"fulfillment-{os.geteuid()}"


def _address(given: Any) -> Any:
    """An address written as JSON, as `place` carries it."""
    if not isinstance(given, str):
        return given
    try:
        return Address.model_validate_json(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"must be an address as JSON, with {', '.join(Address.model_fields)}"
            f" ({f'{where}: ' if where else ''}{first['msg']})"
        ) from None


def _words(given: Any) -> Any:
    """Words with commas between them; of nothing none."""
    if not isinstance(given, str):
        return given
    return [word.strip() for word in given.split(",") if word.strip()]


def _signing_keys(keys: SecretStr) -> tuple[SigningKey, ...]:
    return tuple(map(SigningKey.of, _words(keys.get_secret_value())))


def _object(given: Any) -> Any:
    """An object written as JSON. Its own reader would raise errors of many kinds."""
    if not isinstance(given, str):
        return given
    try:
        return orjson.loads(given)
    except orjson.JSONDecodeError:
        raise ValueError("must be a JSON object") from None


def _folder(path: Path) -> Path:
    if not os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises for a name that is too long
        raise ValueError("must be a folder that is there")
    return path


class Settings(BaseSettings):
    """One process's settings, frozen.

    Raises:
      pydantic.ValidationError: A value cannot be used; the message names the variable.
    """

    model_config = SettingsConfigDict(
        env_prefix="FULFILLMENT_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # it holds passwords, and a worker that cannot start says why
    )

    database_url: SecretStr | None = Field(default=None, validation_alias="DATABASE_URL")
    redis_url: SecretStr | None = Field(default=None, validation_alias="REDIS_URL")
    env: Literal["development", "production"] = "development"
    state_dir: Path = Field(default_factory=default_state_dir)
    """Where the embedded servers keep their data."""
    run_dir: Path = Field(default_factory=default_run_dir)
    """Signs of life for the probe, and files of metrics; best in memory. Nothing in it is kept."""

    processes: int = Field(default=2, ge=1, le=64)
    threads: int = Field(default=8, ge=1, le=64)
    queues: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = ROUTES
    """What a worker works on; the inbox goes with `commands`. Some worker must work on each."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    batch_size: int = Field(default=200, ge=1, le=2000)
    """Commands that one drain claims at once."""
    lease_s: float = Field(default=5, gt=0, le=600)
    """How long claimed work is out of others' reach; the ticker renews it every second."""
    batch_limit_s: float = Field(default=60, gt=0, le=_CENTURY_S)
    """A batch that takes longer ends its process: it loops, or its server is gone."""
    stall_limit_s: float = Field(default=30, gt=0, le=_CENTURY_S)
    """A consumer loop that has not turned for so long ends its process."""
    grace_s: float = Field(default=900, ge=0, le=_CENTURY_S)
    """How long a command waits for an order or a predecessor that is not there yet."""
    lock_timeout_ms: int = Field(default=2_000, ge=1, le=_MOST_MS)
    statement_timeout_ms: int = Field(default=15_000, ge=1, le=_MOST_MS)
    idle_in_transaction_timeout_ms: int = Field(default=10_000, ge=1, le=_MOST_MS)
    shutdown_timeout_ms: int = Field(default=25_000, ge=0, le=_MOST_MS)
    """How long a stopping worker may finish its work; keep it under the platform's grace period."""

    # By both names: by one that is not known the door would stay open, and nobody would see it.
    broker_door_kinds: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = Field(
        default=KINDS,
        validation_alias=AliasChoices("BROKER_DOOR_KINDS", "FULFILLMENT_BROKER_DOOR_KINDS"),
    )
    """Which kinds of command may come through Redis; of an empty text none."""
    broker_door_keys: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("BROKER_DOOR_KEYS", "FULFILLMENT_BROKER_DOOR_KEYS"),
    )
    """`id:secret`, several with commas between them: with one of these they must be signed."""

    smtp_url: SecretStr | None = Field(default=None, validation_alias="SMTP_URL")
    """Where e-mails leave; unset, they become files in `email_folder`."""
    smtp_timeout_s: float = Field(default=30, gt=0, le=45)
    """For one e-mail in all; stay below `batch_limit_s`."""
    email_folder: Path | None = None
    """Where e-mails are files, without a mail server; unset, `mail` in `state_dir`."""
    email_from: Mailbox = "orders@shop.invalid"
    email_reply_to: Mailbox | None = None
    email_locale: str = "en"
    """The language of orders that name none, or one that there is no catalogue for."""
    email_time_zone: str = "UTC"
    """For the dates in e-mails, such as Europe/Paris."""
    email_templates_dir: Annotated[Path, AfterValidator(_folder)] | None = None
    """Templates and catalogues that go before ours."""
    shop_name: Name | None = None
    """Who writes, as customers know it."""

    ship_from: Annotated[Address | None, NoDecode, BeforeValidator(_address)] = None
    """Where parcels come from, as JSON; an order's own `ship_from` goes before it."""
    label_font: Path | None = None
    """A TrueType font for letters that the embedded one lacks: Chinese, Japanese, Korean."""
    label_store: str | None = Field(default=None, min_length=1)
    """Where files of labels are kept: a folder that all workers share, or a URL such as
    `s3://bucket/labels`; unset, `labels` in `state_dir`.
    """
    gs1_company_prefix: str | None = Field(default=None, pattern=r"^[0-9]{4,12}$")
    """Licensed from GS1: parcels without a carrier's number get an SSCC."""

    refund_providers: Annotated[dict[str, str], NoDecode, BeforeValidator(_object)] = {}
    """By method of payment, `*` for the rest: who gives money back. Unset, a person does."""
    carrier_adapters: Annotated[
        dict[str, dict[str, SecretStr]], NoDecode, BeforeValidator(_object)
    ] = {}
    """By code of carrier: `adapter` names the program that speaks to it, `rate` how many calls a
    second it takes; the rest is for that program.
    """
    parcel_weight_g: Weight | None = None
    """What a parcel weighs of which nobody said, where its label is bought."""

    keep_payloads_days: int = Field(default=90, ge=0, le=36_500)
    """How long bodies of commands are kept once they have ended, rows of files that were sent as
    jobs, what operators set right, and e-mails that are files; 0 is for ever. What waits or is dead
    is kept in any case, and so is the form in which an order was placed last, until the order is
    forgotten.
    """
    keep_labels_days: int = Field(default=90, ge=0, le=36_500)
    """How long files of labels and packing slips are kept; 0 is for ever."""
    keep_strays_days: int = Field(default=365, ge=0, le=36_500)
    """How long bodies of strays are kept, which wait for a person; 0 is for ever."""
    keep_events_days: int = Field(default=90, ge=0, le=36_500)
    """How long the feed goes back; 0 is for ever. Whoever follows it may be away for so long."""
    event_source: str = Field(default="/fulfillment", pattern=r"^[!-~]+$", max_length=255)
    """What events name as where they come from, a URI or the path of one; where somebody follows
    several shops, each needs its own.
    """

    square_access_token: SecretStr | None = Field(
        default=None, validation_alias="SQUARE_ACCESS_TOKEN"
    )
    square_url: HttpUrl = Field(
        default=HttpUrl("https://connect.squareup.com"), validation_alias="SQUARE_URL"
    )
    square_webhook_key: SecretStr | None = Field(
        default=None, validation_alias="SQUARE_WEBHOOK_KEY"
    )
    """The signature key of the webhook's subscription: nothing else tells Square's news from
    anybody's.
    """
    square_webhook_url: str | None = Field(default=None, validation_alias="SQUARE_WEBHOOK_URL")
    """The notification URL, letter by letter as Square has it: it is part of what is signed."""

    stripe_api_key: SecretStr | None = Field(default=None, validation_alias="STRIPE_API_KEY")
    stripe_url: HttpUrl = Field(
        default=HttpUrl("https://api.stripe.com"), validation_alias="STRIPE_URL"
    )
    stripe_webhook_secret: SecretStr | None = Field(
        default=None, validation_alias="STRIPE_WEBHOOK_SECRET"
    )
    """The endpoint's `whsec_...`: nothing else tells Stripe's news from anybody's."""

    web_max_body_bytes: int = Field(default=1 << 20, ge=1024, le=64 << 20)
    """What the HTTP door reads of one request."""
    web_max_file_bytes: int = Field(default=64 << 20, ge=1024, le=1 << 30)
    """Likewise of a file of shipments."""
    web_rate_per_minute: int = Field(default=6_000, ge=1)
    """Requests of a key that has no rate of its own, counted by each process of the door."""
    web_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_words)] = Field(
        default=("127.0.0.1", "::1"), validate_default=True
    )
    """Addresses or networks, with commas between them, of proxies whose `X-Forwarded-For` says who
    signs in to the console.
    """

    tracing: bool = False
    """Tell an OpenTelemetry collector of commands on their way; where it is, `OTEL_EXPORTER_OTLP_*`
    say as everywhere. Needs the extra `otel`.
    """

    metrics_host: str = Field(default="127.0.0.1", min_length=1)
    """Loopback, since anybody who reaches it may read; elsewhere only when told."""
    metrics_port: int = Field(default=9191, ge=0, le=65535)
    """Where Prometheus reads, dramatiq's own convention; 0 is off."""
    metrics_dir: Path | None = Field(default=None, validation_alias="PROMETHEUS_MULTIPROC_DIR")
    """Set by who gathers the numbers of several processes: a supervisor, for its workers."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment alone: looking for files that nobody has took half of the time."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    def __hash__(self) -> int:
        # Its own would need every field's, and dicts have none; JSON cannot say every path.
        return hash(repr(self))

    @field_validator("broker_door_kinds")
    @classmethod
    def _known_kinds(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if not set(kinds) <= set(KINDS):
            raise ValueError(f"must be some of {', '.join(KINDS)}, with commas between them")
        return kinds

    @field_validator("queues")
    @classmethod
    def _known_queues(cls, queues: tuple[str, ...]) -> tuple[str, ...]:
        if not queues or not set(queues) <= set(ROUTES):
            raise ValueError(f"must be some of {', '.join(ROUTES)}, with commas between them")
        return queues

    @field_validator("broker_door_keys")
    @classmethod
    def _usable_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys:
            found = [key.key_id for key in _signing_keys(keys)]
            if len(set(found)) < len(found):
                raise ValueError("two keys have the same id")
        elif keys is not None:  # meant to be signed, and nothing would be
            raise ValueError("must be like id:secret, or not be set")
        return keys

    @field_validator("smtp_url")
    @classmethod
    def _readable_smtp_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url:
            read_smtp_url(url.get_secret_value())
        return url

    @field_validator("email_time_zone")
    @classmethod
    def _known_time_zone(cls, name: str) -> str:
        if name != "UTC":  # known everywhere, also where there is no database of time zones
            try:
                ZoneInfo(name)
            except (ValueError, OSError, ZoneInfoNotFoundError):
                raise ValueError("must be a time zone such as Europe/Paris") from None
        return name

    @model_validator(mode="after")
    def _no_embedded_pair_in_production(self) -> "Settings":
        if self.env == "production" and not (self.database_url and self.redis_url):
            raise ValueError(
                "DATABASE_URL and REDIS_URL must be set when FULFILLMENT_ENV=production: "
                "the embedded servers are for trials and tests"
            )
        return self

    @model_validator(mode="after")
    def _known_language(self) -> "Settings":
        if "email_locale" in self.model_fields_set:
            from worker.emails.language import Languages  # noqa: PLC0415  # slow, and seldom needed

            try:
                Languages(self.email_locale, self.email_templates_dir)
            except ValueError as error:
                raise ValueError(f"FULFILLMENT_EMAIL_LOCALE: {error}") from None
        return self

    @model_validator(mode="after")
    def _somebody_writes(self) -> "Settings":
        if self.smtp_url and "email_from" not in self.model_fields_set:
            raise ValueError("FULFILLMENT_EMAIL_FROM must be set with SMTP_URL")
        return self

    @property
    def signing_keys(self) -> tuple[SigningKey, ...]:
        """With which messages of the broker door are signed; the first is for signing anew."""
        return _signing_keys(self.broker_door_keys) if self.broker_door_keys else ()

    @property
    def mail_problem(self) -> str | None:
        """Why a worker may not send e-mails as it is told to; a producer need not care."""
        if self.env == "production" and not (self.smtp_url or self.email_folder):
            return (
                "SMTP_URL must be set when FULFILLMENT_ENV=production, or FULFILLMENT_EMAIL_FOLDER "
                "if e-mails are to be files"
            )
        return None


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
