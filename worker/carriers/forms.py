"""What tracking numbers look like, carrier by carrier. Pure.

UPS, USPS, FedEx, DHL Express, OnTrac and Amazon come from `vendor/tracking_number_data`; post of
all countries from UPU S10; `OWN` names the source of each form. What is vendored is read
and compiled when a number of its carrier is first looked at.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from worker.carriers.check_digits import Check, by_name, mod7, mod10, mod_37_36, s10


@dataclass(frozen=True, slots=True)
class Form:
    """What one kind of a carrier's numbers looks like."""

    carrier: str
    name: str
    pattern: re.Pattern[str]
    """Matches a whole number in capitals without spaces. Has the groups `serial` and `check` where
    there is a check digit. Its length is bounded.
    """
    check: Check | None = None
    marks: tuple[str, ...] = ()
    """How such a number begins, if it is digits alone and yet unlike those of others."""
    unsaid: tuple[str, str] | None = None
    """What may be left out of a number though its check digit counts it in: a regular expression
    that tells whether it was left out, and what it is.
    """

    def fit(self, compact: str) -> "Fit | None":
        """How the number fits; None if it does not look like this."""
        found = self.pattern.fullmatch(compact)
        if found is None:
            return None
        is_bare = compact.isdecimal() and not (self.marks and compact.startswith(self.marks))
        if self.check is None:
            return Fit(self, None, is_bare)
        serial = found["serial"]
        if self.unsaid and re.match(self.unsaid[0], serial):
            serial = self.unsaid[1] + serial
        return Fit(self, self.check(serial, found["check"]), is_bare)


@dataclass(frozen=True, slots=True)
class Fit:
    """A number that has the form."""

    form: Form
    is_right: bool | None
    """Whether the check digit is right; None if the form has none."""
    is_bare: bool
    """Whether it is digits alone, so that only their count speaks for the carrier."""


@cache
def forms_of(carrier: str) -> tuple[Form, ...]:
    """The forms of the carrier's numbers; none if they are not known here."""
    own = (form for form in OWN if form.carrier == carrier)
    countries = [country for country, operators in S10.items() if carrier in operators]
    postal = (form for country in countries for form in postal_forms(country))
    vendored = vendored_forms(carrier) if carrier in VENDORED else ()
    return (*vendored, *own, *(form for form in postal if form.carrier == carrier))


@cache
def every_form() -> tuple[Form, ...]:
    """The forms of all carriers, but S10."""
    return (*(form for courier in VENDORED for form in vendored_forms(courier)), *OWN)


def postal_forms(country: str) -> tuple[Form, ...]:
    """S10 numbers of the country: its operator has them all, its sisters those of parcels (C) and
    of EMS (E). None for what is no country here.
    """
    return _s10_forms(country) if country in S10 else ()


@cache
def _s10_forms(country: str) -> tuple[Form, ...]:
    number = rf"(?P<serial>[0-9]{{8}})(?P<check>[0-9]){country}"
    operator, *sisters = S10[country]
    return (
        Form(operator, "S10", re.compile(rf"[A-Z]{{2}}{number}"), s10),
        *(Form(sister, "S10", re.compile(rf"[CE][A-Z]{number}"), s10) for sister in sisters),
    )


OWN: Final = (
    # A GS1 SSCC behind its 00, with the check digit of all GS1 keys (GS1 General Specifications, AI
    # 00). DHL's numbers for trying its tracking begin like this and have it.
    Form(
        "dhl",
        "DHL Paket (20)",
        re.compile(r"(?P<serial>0034043[0-9]{12})(?P<check>[0-9])"),
        mod10(3, 1),
        marks=("0034043",),
    ),
    # Identcode: CPAN Algorithm::CheckDigits::M10_005, after pruefziffernberechnung.de.
    Form(
        "dhl",
        "DHL Paket (12)",
        re.compile(r"(?P<serial>[0-9]{11})(?P<check>[0-9])"),
        mod10(4, 9),
    ),
    # DPD Parcel Label Specification 2.4.1: the parcel number alone, and with postcode, service and
    # country around it.
    Form("dpd", "DPD (15)", re.compile(r"(?P<serial>[0-9]{14})(?P<check>[0-9A-Z])"), mod_37_36),
    Form("dpd", "DPD (28)", re.compile(r"(?P<serial>[0-9]{27})(?P<check>[0-9A-Z])"), mod_37_36),
    # tracking_number_data 1.4, canadapost.json; that it is modulo 10 also BluJay, Parcel 21.1 User
    # Guide, "Canada Post - Track Format".
    Form(
        "canada-post",
        "Canada Post (16)",
        re.compile(r"(?P<serial>[0-9]{15})(?P<check>[0-9])"),
        mod10(3, 1),
    ),
    # The slip's number is the rest of a division by seven: nanoappli.com/blog/archives/369.
    Form("yamato", "Yamato", re.compile(r"(?P<serial>[0-9]{11})(?P<check>[0-9])"), mod7),
    # Registered mail: foodp.hatenadiary.org/entry/20070927.
    Form(
        "japan-post", "Japan Post (11)", re.compile(r"(?P<serial>[0-9]{10})(?P<check>[0-9])"), mod7
    ),
)

S10: Final = {
    "AT": ("austrian-post",),
    "AU": ("australia-post",),
    "BE": ("bpost",),
    "BR": ("correios",),
    "CA": ("canada-post",),
    "CH": ("swiss-post",),
    "CN": ("china-post",),
    "DE": ("deutsche-post", "dhl"),
    "DK": ("postnord",),
    "ES": ("correos",),
    "FI": ("posti",),
    "FR": ("la-poste", "colissimo", "chronopost"),
    "GB": ("royal-mail", "parcelforce"),
    "HK": ("hongkong-post",),
    "IE": ("an-post",),
    "IN": ("india-post",),
    "IT": ("poste-italiane",),
    "JP": ("japan-post",),
    "KR": ("korea-post",),
    "NL": ("postnl",),
    "NO": ("posten",),
    "NZ": ("nz-post",),
    "PL": ("poczta-polska",),
    "PT": ("ctt",),
    "SE": ("postnord",),
    "SG": ("singapore-post",),
    "US": ("usps",),
    "ZA": ("south-african-post",),
}
"""Designated operators by the country that ends an S10 number (UPU standard S10; operators as in
`s10.json`), and sister companies that carry the country's parcels and EMS under such numbers.
"""

_COURIERS: Final = Path(__file__).parent / "vendor/tracking_number_data/couriers"

VENDORED: Final = ("amazon", "dhl", "fedex", "ontrac", "ups", "usps")

MARKS: Final = {
    "fedex_34": ("10",),
    "fedex_ground_96": ("96",),
    "fedex_ground_gsn": ("96",),
    "fedex_smartpost": ("92", "420", "6129"),
    "usps_32V2": ("420",),
    "usps_91": ("91", "92", "93", "94", "95", "420"),
}
"""How numbers of digits alone begin, by the id of their form in `tracking_number_data`."""


@cache
def vendored_forms(courier: str) -> tuple[Form, ...]:
    """The forms in a file of `tracking_number_data`."""
    return tuple(_form(courier, one) for one in vendored(courier)["tracking_numbers"])


def vendored(courier: str) -> dict[str, Any]:
    """A file of `tracking_number_data`, as it came."""
    content: dict[str, Any] = json.loads((_COURIERS / f"{courier}.json").read_text("utf-8"))
    return content


def _form(courier: str, described: dict[str, Any]) -> Form:
    # Spaces are gone before a number is matched, and with their `*` whatever could backtrack.
    regex = "".join(described["regex"]).replace(r"\s*", "")
    regex = regex.replace("(?<SerialNumber>", "(?P<serial>").replace("(?<CheckDigit>", "(?P<check>")
    regex = re.sub(r"\(\?<[A-Za-z]+>", "(?:", regex)
    validation = described["validation"]
    checksum = validation.get("checksum")
    prepend = validation.get("serial_number_format", {}).get("prepend_if")
    return Form(
        courier,
        described["name"],
        re.compile(regex),
        by_name(checksum) if checksum else None,
        MARKS.get(described.get("id", ""), ()),
        prepend and (prepend["matches_regex"], prepend["content"]),
    )
