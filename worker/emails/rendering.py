"""From facts to words: templates, filled in the customer's language."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from functools import cache
from pathlib import Path
from typing import Any, Final

import css_inline
from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    select_autoescape,
)

from worker.carriers.registry import tracking_page
from worker.emails.facts import Facts
from worker.emails.language import Language, Languages
from worker.orders.value import value

TEMPLATES: Final = Path(__file__).parent / "templates"

_INLINER: Final = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)
"""Styles go onto the elements, where every mail program reads them; media queries stay."""


@value
class Rendered:
    """An e-mail's words."""

    subject: str
    text: str
    html: str


class BrokenTemplate(Exception):
    """A template cannot be filled; the text names it and the line, and quotes no data."""


class Rendering:
    """Fills the templates. A file of the same name in `folder` goes before ours.

    Each kind has `<kind>.txt`, whose first line is the subject, and `<kind>.html`. They are Jinja
    templates with gettext; `context` says what they can name.
    """

    def __init__(
        self,
        languages: Languages,
        *,
        folder: Path | None = None,
        shop_name: str | None = None,
        time_zone: tzinfo = UTC,
    ) -> None:
        self.languages = languages
        self._folder = folder
        self._shop_name = shop_name
        self._time_zone = time_zone
        self._environment = cache(self._make_environment)

    def render(self, facts: Facts, locale: str | None = None) -> Rendered:
        """The e-mail in the locale, or in the order's.

        Raises:
          BrokenTemplate: A template of the folder is wrong.
        """
        language = self.languages.of(locale or facts.document["locale"])
        environment = self._environment(language.tag)
        words = self.context(facts, language)
        subject, _, text = self._fill(environment, f"{facts.kind}.txt", words).partition("\n")
        html = self._fill(environment, f"{facts.kind}.html", {**words, "subject": subject})
        return Rendered(subject, text.strip() + "\n", _INLINER.inline(html))

    def context(self, facts: Facts, language: Language) -> dict[str, Any]:
        """What templates can name; amounts and dates are words already."""
        document = facts.document
        parcel = document["parcel"] or {}

        def money(amount_minor: int) -> str:
            return language.money(amount_minor, document["currency"])

        return {
            "lang": language.tag,
            "dir": "rtl" if language.locale.character_order == "right-to-left" else "ltr",
            "shop_name": self._shop_name,
            "order": document["number"] or document["order_id"],
            "customer_name": document["customer_name"],
            "date": language.date(facts.told_at.astimezone(self._time_zone).date()),
            "items": document["items"],
            "items_count": _units(document["items"]),
            "to_come": document["to_come"],
            "to_come_count": _units(document["to_come"]),
            "carrier": parcel.get("carrier"),
            "tracking_number": parcel.get("tracking_number"),
            "tracking_url": tracking_url(parcel),
            "is_whole_order": document["is_cancelled"],
            "to_refund": money(minor) if (minor := document["to_refund_minor"]) else None,
            "refunded": money(sum(part["amount_minor"] for part in document["refunded"])),
            "refunded_parts": [
                {
                    "amount": money(part["amount_minor"]),
                    "method": method_name(part["method"], language.translations.gettext),
                }
                for part in document["refunded"]
            ],
        }

    def _fill(self, environment: Environment, name: str, words: Mapping[str, Any]) -> str:
        try:
            return environment.get_template(name).render(words)
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            where = f"{getattr(error, 'name', None) or name}{f', line {line}' if line else ''}"
            raise BrokenTemplate(f"template {where}: {type(error).__name__}") from error

    def _make_environment(self, tag: str) -> Environment:
        folders = [FileSystemLoader(folder) for folder in (self._folder, TEMPLATES) if folder]
        environment = Environment(
            loader=ChoiceLoader(folders),
            extensions=["jinja2.ext.i18n"],
            autoescape=select_autoescape(["html"], default=True, disabled_extensions=["txt"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        language = self.languages.of(tag)
        environment.filters["number"] = language.number
        environment.install_gettext_translations(  # type: ignore[attr-defined]  # the extension's
            language.translations, newstyle=True
        )
        return environment


def tracking_url(parcel: Mapping[str, Any]) -> str | None:
    """The web page that the parcel can be followed on; nothing else is linked."""
    given = (parcel.get(name) for name in ("tracking_number", "tracking_page", "tracking_url"))
    url = tracking_page(*given)
    return url if url and url.startswith(("https://", "http://")) else None


def method_name(method: str | None, gettext: Callable[[str], str]) -> str:
    """What customers call a means of payment. Upstream systems have codes of their own; one that is
    not known here is shown as it is, without its underscores.
    """
    match (method or "").lower():
        case "card" | "credit_card" | "debit_card" | "third_party_card":
            return gettext("Card")
        case "gift_card" | "square_gift_card":
            return gettext("Gift card")
        case "bank_account" | "bank_transfer":
            return gettext("Bank account")
        case "cash":
            return gettext("Cash")
        case "buy_now_pay_later":
            return gettext("Payment in instalments")
        case "" | "external" | "manual" | "no_sale" | "other" | "shopify_payments" | "wallet":
            return gettext("The means of payment you used")
        case code:
            words = (method or code).replace("_", " ")
            return words.capitalize() if words.islower() else words


def _units(items: Sequence[Mapping[str, Any]]) -> int:
    return sum(item["quantity"] for item in items)
