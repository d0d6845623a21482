"""The language in which a customer is likely written to."""

from babel.core import Locale, get_global


def locale_of(country: str | None) -> str | None:
    """The language most likely written there, by Unicode's likely subtags: `FR` -> `fr-FR`."""
    if country is None or country not in Locale("en").territories:
        return None
    # English is what CLDR leaves out as the default, so US, GB and CA are not in the table.
    language = get_global("likely_subtags").get(f"und_{country}", "en").partition("_")[0]
    return f"{language}-{country}" if language.isalpha() and language != "und" else None
