"""Carriers through karrio, which maps some thirty carriers' APIs onto one; `karrio-ups` for UPS.

Its mapper and proxy are called directly: its own front turns whatever fails into a message.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from messages.order import Address
from worker.errors import Terminal, Transient, Uncertain
from worker.orders.money import to_minor
from worker.postage.adapter import Bought, Order, State, Transit
from worker.postage.karrio_sdk import TIMEOUT_S, Call, calling, sdk
from worker.postage.karrio_words import bad_address, said, without

LONGEST_TIMEOUT_S: Final = 20.0
"""Log-in and purchase are four such steps at worst, and a batch has a minute."""
_LOGIN: Final = {401, 403}
_REFUSED: Final = 400
_OWN: Final = {"carrier", "server_url", "service", "timeout_s"}

_TRANSITS: Final[Mapping[str, State]] = {
    "picked_up": "in_transit",
    "in_transit": "in_transit",
    "out_for_delivery": "in_transit",
    "ready_for_pickup": "in_transit",
    "delivery_delayed": "in_transit",
    "delivered": "delivered",
    "return_to_sender": "returned",
    "delivery_failed": "exception",
    "on_hold": "exception",
    "cancelled": "exception",
}
"""karrio's normalized statuses; the others say that nothing has moved yet."""


class Karrio:
    """One carrier. Settings beside karrio's own for it (for UPS `client_id`, `client_secret`,
    `account_number`): `carrier`, karrio's name for it, if that is not ours; `service`, for parcels
    that name none, and `service.NAME`, what a service named so is to karrio; `config.NAME`, such as
    `config.label_type`; `timeout_s`, `server_url`.

    Raises:
      ValueError: A setting is missing, unknown or not to be used; or karrio is not installed.
    """

    can_find = False
    """No carrier's shipping API in karrio looks a shipment up by our reference."""
    settles_within_s = 2 * TIMEOUT_S

    def __init__(self, carrier: str, settings: Mapping[str, str]) -> None:
        self._name = settings.get("carrier", carrier)
        self._service = settings.get("service")
        self._services = {
            name.partition(".")[2]: code
            for name, code in settings.items()
            if name.startswith("service.")
        }
        self._timeout_s = _timeout_s(settings.get("timeout_s"))
        try:
            self._sdk = sdk()
        except ImportError as error:
            lacking = f"{error.name} is not installed: pip install 'fulfillment-worker[carriers]'"
            raise ValueError(lacking) from error
        self._settings = self._read(settings)
        self._gateway = self._connect()

    def buy(self, order: Order) -> Bought:
        """Buy a label; see `Adapter`."""
        models = self._sdk.models
        payload = models.ShipmentRequest(
            service=self._service_of(order),
            shipper=self._address(order.ship_from),
            recipient=self._address(order.ship_to),
            parcels=[
                models.Parcel(
                    weight=order.weight_g / 1000,
                    weight_unit="KG",
                    reference_number=order.purchase_id.hex,
                )
            ],
            reference=order.purchase_id.hex,
        )
        request = self._mapped(payload)
        self._log_in()
        with calling(self._timeout_s) as call:
            response = self._gateway.proxy.create_shipment(request)
        details, messages = self._read_answer(
            call, lambda: self._gateway.mapper.parse_shipment_response(response)
        )
        if details is None or not details.tracking_number:
            raise self._refusal(call, messages, order)
        return _bought(details)

    def find(self, purchase_id: UUID) -> Bought | None:
        """Not to be called; see `can_find`."""
        raise Terminal("cannot_find", f"{self._name} cannot look up {purchase_id.hex}")

    def void(self, carrier_id: str, tracking_number: str) -> None:
        """Give the label back; see `Adapter`."""
        del tracking_number
        mapper = self._gateway.mapper
        payload = self._sdk.models.ShipmentCancelRequest(shipment_identifier=carrier_id)
        request = mapper.create_cancel_shipment_request(payload)
        self._log_in()
        with calling(self._timeout_s) as call:
            response = self._gateway.proxy.cancel_shipment(request)
        details, messages = self._read_answer(
            call, lambda: mapper.parse_cancel_shipment_response(response)
        )
        told = said(messages).lower()
        if (details and details.success) or "already been voided" in told:
            return
        is_moving = "in transit" in told or "time for voiding" in told
        raise self._refusal(call, messages, reason="in_transit" if is_moving else "void_refused")

    def track(self, tracking_number: str) -> Transit:
        """Where the parcel is; see `Adapter`."""
        mapper = self._gateway.mapper
        payload = self._sdk.models.TrackingRequest(tracking_numbers=[tracking_number])
        request = mapper.create_tracking_request(payload)
        self._log_in()
        with calling(self._timeout_s) as call:
            response = self._gateway.proxy.get_tracking(request)
            # karrio asks in threads of its own, and puts among the answers what they raised.
            for error in response.value if isinstance(response.value, list) else ():
                if isinstance(error, Exception):
                    raise error
        found, messages = self._read_answer(call, lambda: mapper.parse_tracking_response(response))
        if found:
            return Transit(_TRANSITS.get(found[0].status, "announced"), _at(found[0].events))
        if not messages or "not found" in said(messages).lower():
            return Transit("announced")  # a label of today; it is not scanned yet
        raise self._refusal(call, messages)

    def _read(self, settings: Mapping[str, str]) -> Any:
        """Karrio's own settings of the carrier."""
        try:
            known = self._sdk.gateway.providers[self._name].Settings
        except KeyError:
            names = ", ".join(sorted(self._sdk.gateway.providers))
            raise ValueError(f"karrio has no carrier {self._name!r} here; it has {names}") from None
        fields = {one.name: one for one in known.__attrs_attrs__}
        given: dict[str, Any] = {"config": {}}
        for name, text in settings.items():
            if name.startswith("config."):
                given["config"][name.partition(".")[2]] = text
            elif name in fields:
                is_flag = fields[name].type is bool
                given[name] = text.lower() in {"true", "yes", "1"} if is_flag else text
            elif name not in _OWN and not name.startswith("service."):
                raise ValueError(f"{name} is no setting of {self._name}: {', '.join(fields)}")
        required = [one.name for one in fields.values() if one.default is self._sdk.NOTHING]
        if missing := [name for name in required if not given.get(name)]:
            raise ValueError(f"{', '.join(missing)} missing")
        if url := settings.get("server_url"):
            known = type("Settings", (known,), {"server_url": url.rstrip("/")})
        return known(**given)

    def _connect(self) -> Any:
        return self._sdk.gateway[self._name].create(self._settings, tracer=self._sdk.tracer)

    def _service_of(self, order: Order) -> str:
        if order.service:
            return self._services.get(order.service, order.service)
        if self._service:
            return self._service
        raise Terminal("service_missing", f"set service for {self._name}, or ship with a service")

    def _address(self, address: Address) -> Any:
        first, *rest = address.lines or ("",)
        return self._sdk.models.Address(
            person_name=address.name or address.company,
            company_name=address.company,
            address_line1=first,
            address_line2=", ".join(rest) or None,
            city=address.city,
            state_code=address.district,
            postal_code=address.postal_code,
            country_code=address.country,
            phone_number=address.phone,
        )

    def _mapped(self, payload: Any) -> Any:
        """The request as the carrier wants it, whole: karrio cuts lines that are too long."""
        try:
            request = self._gateway.mapper.create_shipment_request(payload)
            sent = request.serialize()
        except self._sdk.errors.FieldError as error:
            raise Terminal("carrier_refused", f"missing: {', '.join(error.details)}") from None
        if isinstance(sent, dict):
            texts = set(_texts(sent))
            for whose, one in (("ship_to", payload.recipient), ("ship_from", payload.shipper)):
                lines = filter(None, (one.address_line1, one.address_line2))
                if any(not any(line in text for text in texts) for line in lines):
                    raise Terminal("bad_address", f"correct {whose}: lines: too long")
        return request

    def _log_in(self) -> None:
        """Get a token where the carrier has such; it is kept for its time. What fails here has
        bought nothing.
        """
        with calling(self._timeout_s) as call:
            try:
                self._gateway.proxy.authenticate(None)
            except self._sdk.errors.MethodNotSupportedError:
                return
            except self._sdk.errors.ParsedMessagesError as error:
                raise self._bad_credentials(error.messages) from None
            except Transient as error:
                raise Transient(error.reason, str(error), error.retry_after_s) from error
            except Exception as error:
                if call.status in _LOGIN:
                    raise self._bad_credentials([]) from error
                raise Transient("carrier_nonsense", "the login's answer makes no sense") from error

    def _bad_credentials(self, messages: list[Any]) -> Terminal:
        codes = ", ".join(filter(None, (str(one.code or "") for one in messages)))
        return Terminal(
            "bad_credentials",
            f"{self._name} refuses the credentials{codes and f' ({codes})'}:"
            " correct FULFILLMENT_CARRIER_ADAPTERS and restart",
        )

    def _read_answer(self, call: Call, parse: Callable[[], Any]) -> tuple[Any, list[Any]]:
        try:
            details, messages = parse()
        except Exception as error:
            if call.status >= _REFUSED:  # in other words than usual
                return None, []
            raise Uncertain("carrier_nonsense", "the carrier's answer makes no sense") from error
        return details, [one for one in messages or () if one.level != "warning"]

    def _refusal(
        self, call: Call, messages: list[Any], order: Order | None = None, reason: str = ""
    ) -> Exception:
        """What it means that nothing was done."""
        if call.status in _LOGIN:
            self._gateway = self._connect()  # with a token that is refused, if it was that
            return Transient("carrier_login", f"{self._name} answered {call.status}")
        if not messages and call.status < _REFUSED:  # neither yes nor no
            return Uncertain("carrier_nonsense", "the carrier's answer makes no sense")
        about = bad_address(messages) if order and not reason else None
        if about:
            return Terminal("bad_address", f"{about} ({self._name})")
        told = without(said(messages), order) if messages else f"HTTP {call.status}"
        return Terminal(reason or "carrier_refused", f"{self._name}: {told}")


def _timeout_s(text: str | None) -> float:
    try:
        seconds = float(text or TIMEOUT_S)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_TIMEOUT_S:
        raise ValueError(f"timeout_s must be a number of seconds, at most {LONGEST_TIMEOUT_S:.0f}")
    return seconds


def _bought(details: Any) -> Bought:
    """What is bought by now: nothing that is odd about the rest may hide it."""
    label, cost_minor, currency = b"", None, None
    with suppress(ValueError):
        label = base64.b64decode(details.docs.label or "")
    if (rate := details.selected_rate) and rate.total_charge:
        with suppress(ValueError):
            cost_minor, currency = to_minor(str(rate.total_charge), rate.currency), rate.currency
    return Bought(
        carrier_id=details.shipment_identifier or details.tracking_number,
        tracking_number=details.tracking_number,
        label=label,
        label_kind="label_zpl" if details.label_type == "ZPL" else "label_pdf",
        cost_minor=cost_minor,
        currency=currency,
    )


def _at(events: list[Any]) -> datetime | None:
    """When the latest thing happened."""
    if not events or not events[0].timestamp:
        return None
    try:
        at = datetime.fromisoformat(events[0].timestamp)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _texts(sent: Any) -> Iterator[str]:
    if isinstance(sent, str):
        yield sent
    elif isinstance(sent, dict):
        for one in sent.values():
            yield from _texts(one)
    elif isinstance(sent, list):
        for one in sent:
            yield from _texts(one)
