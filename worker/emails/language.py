"""Languages: a gettext catalogue each, and Babel for dates, amounts and plurals.

The sentences in templates are English and are the catalogue's keys, so English needs none. A
further language is one more file, `locales/<language>.po`.
"""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, parse_pattern
from babel.support import NullTranslations, Translations

from worker.orders.money import decimals
from worker.orders.value import value

SOURCE: Final = "en"
"""The language of the templates themselves."""
_SHIPPED: Final = Path(__file__).parent / "locales"
_LETTER_BY_DIGIT: Final = re.compile(r"(?<=[^\W\d_])(?=\d)")
"""`KWD1.250` wants a space, `$1.25` does not (CLDR's alphaNextToNumber, which Babel leaves out)."""


@value
class Language:
    """A language to write in, and the country's way with dates and numbers."""

    locale: Locale
    translations: NullTranslations

    @property
    def tag(self) -> str:
        """BCP 47, for HTML: `fr-CA`."""
        return str(self.locale).replace("_", "-")

    def date(self, day: date) -> str:
        """`24 novembre 2026`."""
        return str(format_date(day, "long", self.locale))

    def number(self, quantity: int) -> str:
        """`1 000`."""
        return str(format_decimal(quantity, locale=self.locale))

    def money(self, amount_minor: int, currency: str) -> str:
        """`12,50 €`: with the locale's signs, and all decimals that the currency has by ISO 4217,
        where Babel leaves out those that people seldom write.
        """
        digits = decimals(currency)
        amount = Decimal(amount_minor).scaleb(-digits)
        pattern = parse_pattern(self.locale.currency_formats["standard"].pattern)
        pattern.frac_prec = (digits, digits)
        text = pattern.apply(amount, self.locale, currency=currency, currency_digits=False)
        return _LETTER_BY_DIGIT.sub("\N{NO-BREAK SPACE}", text)


class Languages:
    """The languages there are catalogues for: ours, and those of a merchant's own folder, whose
    sentences go before ours.

    Raises:
      ValueError: `default` is a language that there is no catalogue for.
    """

    def __init__(self, default: str = SOURCE, folder: Path | None = None) -> None:
        self._catalogues = _catalogues(folder)
        found = self._find(default)
        if found is None:
            known = ", ".join(sorted({SOURCE, *self._catalogues}))
            raise ValueError(f"{default!r} is none of the languages there are: {known}")
        self._default = found

    def of(self, tag: str | None) -> Language:
        """The language of a tag such as `fr`, `fr-CA` or `fr_CA`; the default for one that there
        is no catalogue for.
        """
        return (tag and self._find(tag)) or self._default

    def knows(self, tag: str) -> bool:
        """Whether there is a catalogue for the tag's language."""
        return self._find(tag) is not None

    def _find(self, tag: str) -> Language | None:
        try:
            locale = Locale.parse(tag.replace("-", "_"))
        except (ValueError, UnknownLocaleError):
            # Too much of it is unknown: `fr-x-old` is still French.
            language = tag.replace("_", "-").partition("-")[0]
            return self._find(language) if language != tag else None
        for name in (str(locale), f"{locale.language}_{locale.script}", locale.language):
            if name in self._catalogues:
                return Language(locale, self._catalogues[name])
        return Language(locale, NullTranslations()) if locale.language == SOURCE else None


def _catalogues(folder: Path | None) -> Mapping[str, NullTranslations]:
    found: dict[str, NullTranslations] = {path.stem: _read(path) for path in _files(_SHIPPED)}
    for path in _files(folder) if folder else ():
        own = _read(path)
        if path.stem in found:
            own.add_fallback(found[path.stem])
        found[path.stem] = own
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.po"))


@cache
def _read(path: Path) -> Translations:
    """The catalogue, compiled in memory: no second file that could be older than the first."""
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.stem, abort_invalid=True)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)
