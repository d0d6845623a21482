"""The common carriers: code, name and tracking page. Pure.

The shop's table of carriers begins with these (migration 0006) and then is the shop's: it may add
its own, and a code that it gave to another carrier stays that one's. `means` tells the difference.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote


class Carrier(NamedTuple):
    """A carrier that many shops know."""

    code: str
    name: str
    tracking_url: str | None = None
    """Template of its tracking page, `{number}` stands for the tracking number; None where no page
    takes the number alone (it asks for a postcode as well, say).
    """
    aliases: tuple[str, ...] = ()
    """Other names that shops and platforms give it."""


_LA_POSTE: Final = "https://www.laposte.fr/outils/suivre-vos-envois?code={number}"

COMMON: Final = (
    Carrier("amazon", "Amazon Shipping", "https://track.amazon.com/tracking/{number}",
            ("Amazon", "Amazon Logistics")),
    Carrier("an-post", "An Post"),
    Carrier("aramex", "Aramex", "https://www.aramex.com/us/en/track/results?ShipmentNumber={number}"),
    Carrier("australia-post", "Australia Post",
            "https://auspost.com.au/mypost/track/details/{number}", ("AusPost",)),
    Carrier("austrian-post", "Austrian Post", "https://www.post.at/sv/sendungsdetails?snr={number}",
            ("Österreichische Post", "Post AT")),
    Carrier("blue-dart", "Blue Dart", None, ("Bluedart",)),
    Carrier("bpost", "bpost", None, ("Bpost International",)),
    Carrier("canada-post", "Canada Post",
            "https://www.canadapost-postescanada.ca/track-reperage/en#/search?searchFor={number}",
            ("Postes Canada",)),
    Carrier("china-post", "China Post"),
    Carrier("chronopost", "Chronopost",
            "https://www.chronopost.fr/tracking-no-cms/suivi-page?listeNumerosLT={number}"),
    Carrier("colissimo", "Colissimo", _LA_POSTE),
    Carrier("correios", "Correios"),
    Carrier("correos", "Correos",
            "https://www.correos.es/es/es/herramientas/localizador/envios/detalle"
            "?tracking-number={number}"),
    Carrier("ctt", "CTT", None, ("CTT Correios", "CTT Expresso")),
    Carrier("deutsche-post", "Deutsche Post",
            "https://www.deutschepost.de/de/s/sendungsverfolgung.html?piececode={number}"),
    Carrier("dhl", "DHL", "https://www.dhl.com/global-en/home/tracking.html?tracking-id={number}",
            ("DHL Express", "DHL eCommerce", "DHL Paket", "DHL Parcel", "DHL Germany")),
    Carrier("dpd", "DPD",
            "https://www.dpdgroup.com/nl/mydpd/my-parcels/track?lang=en&parcelNumber={number}",
            ("DPD Germany", "DPD UK", "DPD Local", "DPD France")),
    Carrier("evri", "Evri", "https://www.evri.com/track/parcel/{number}",
            ("Hermes UK", "myHermes")),
    Carrier("fedex", "FedEx", "https://www.fedex.com/fedextrack/?trknbr={number}",
            ("Federal Express", "FedEx Express", "FedEx Ground")),
    Carrier("gls", "GLS", "https://gls-group.eu/track/{number}", ("General Logistics Systems",)),
    Carrier("hermes", "Hermes Germany", None, ("Hermes", "myHermes Germany")),
    Carrier("hongkong-post", "Hongkong Post", None, ("Hong Kong Post",)),
    Carrier("india-post", "India Post"),
    Carrier("inpost", "InPost", "https://inpost.pl/sledzenie-przesylek?number={number}"),
    Carrier("japan-post", "Japan Post",
            "https://trackings.post.japanpost.jp/services/srv/search/direct?reqCodeNo1={number}"
            "&locale=en", ("Japan Post (EN)", "Japan Post (JA)")),
    Carrier("korea-post", "Korea Post"),
    Carrier("la-poste", "La Poste", _LA_POSTE, ("Lettre suivie",)),
    Carrier("mondial-relay", "Mondial Relay"),
    Carrier("nz-post", "NZ Post", "https://www.nzpost.co.nz/tools/tracking?trackid={number}",
            ("New Zealand Post",)),
    Carrier("ontrac", "OnTrac", "https://www.ontrac.com/tracking/?number={number}", ("LaserShip",)),
    Carrier("parcelforce", "Parcelforce",
            "https://www.parcelforce.com/track-trace?trackNumber={number}",
            ("Parcelforce Worldwide",)),
    Carrier("poczta-polska", "Poczta Polska", "https://emonitoring.poczta-polska.pl/?numer={number}"),
    Carrier("poste-italiane", "Poste Italiane"),
    Carrier("posten", "Posten", "https://sporing.posten.no/sporing/{number}",
            ("Posten Norge", "Bring")),
    Carrier("posti", "Posti"),
    Carrier("postnl", "PostNL"),
    Carrier("postnord", "PostNord",
            "https://www.postnord.se/en/our-tools/track-and-trace?shipmentId={number}",
            ("PostNord SE", "PostNord DK", "PostNord Sverige", "PostNord Danmark")),
    Carrier("purolator", "Purolator", "https://www.purolator.com/en/shipping/tracker?pins={number}"),
    Carrier("royal-mail", "Royal Mail",
            "https://www.royalmail.com/track-your-item#/tracking-results/{number}"),
    Carrier("sagawa", "Sagawa",
            "https://k2k.sagawa-exp.co.jp/p/web/okurijosearch.do?okurijoNo={number}",
            ("Sagawa Express", "Sagawa (EN)", "Sagawa (JA)")),
    Carrier("sf-express", "SF Express",
            "https://www.sf-express.com/us/en/dynamic_function/waybill/#search/bill-number/{number}"),
    Carrier("singapore-post", "Singapore Post", None, ("SingPost",)),
    Carrier("south-african-post", "South African Post Office"),
    Carrier("swiss-post", "Swiss Post", "https://service.post.ch/ekp-web/ui/entry/search/{number}",
            ("La Poste Suisse", "Die Schweizerische Post", "Swiss Post CH")),
    Carrier("tnt", "TNT", None, ("TNT Express",)),
    Carrier("ups", "UPS", "https://www.ups.com/track?tracknum={number}",
            ("United Parcel Service", "UPS Ground")),
    Carrier("usps", "USPS", "https://tools.usps.com/go/TrackConfirmAction?tLabels={number}",
            ("United States Postal Service", "US Postal Service")),
    Carrier("yamato", "Yamato",
            "https://toi.kuronekoyamato.co.jp/cgi-bin/tneko?number01={number}",
            ("Yamato Transport", "Yamato (EN)", "Yamato (JA)", "Kuroneko Yamato")),
    Carrier("yodel", "Yodel"),
)  # fmt: skip  # a table


def code_of(name: str) -> str | None:
    """The code of the common carrier that goes by the name, however it is spelt: `FEDEX`, `La
    Poste`; None where no common one does.
    """
    return _CODES.get(letters(name))


@lru_cache(maxsize=256)
def means(code: str, name: str) -> bool:
    """Whether a shop's carrier with this code and name is the common one of this code, and not
    another one that the shop calls so: `dhl`, "DHL Paket Leipzig" is, `dhl`, "Dave's Haulage" not.
    """
    given = letters(name)
    return any(known in given for known in _NAMES.get(code, ()))


def tracking_page(number: str | None, template: str | None, url: str | None = None) -> str | None:
    """Where a parcel can be followed: at its own `url`, else on its carrier's page for its number.
    `{number}` in the page's address, the `template`, is the number.
    """
    if url or not (number and template):
        return url
    return template.replace("{number}", quote(number, safe=""))


def letters(name: str) -> str:
    """The name without what people write one way or another: spaces, signs, capitals."""
    return re.sub(r"[\W_]+", "", name).casefold()


_NAMES: Final = {
    one.code: tuple(letters(name) for name in (one.name, *one.aliases)) for one in COMMON
}
_CODES: Final = {name: code for code, names in _NAMES.items() for name in (*names, letters(code))}
