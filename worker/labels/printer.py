"""Files of a parcel as bytes: what the follow-up stores, and what the command line prints."""

from worker.labels.facts import Parcel
from worker.labels.files import Kind
from worker.labels.fonts import Fonts
from worker.labels.label import Sender, label
from worker.labels.page import Page
from worker.labels.pdf import pdf
from worker.labels.slip import slip
from worker.labels.zpl import zpl
from worker.settings import Settings


class Printer:
    """The merchant's fonts, address and GS1 prefix.

    Raises:
      Transient: `label_font` cannot be used.
    """

    def __init__(self, config: Settings) -> None:
        self._fonts = Fonts(config.label_font)
        self._sender = Sender(config.ship_from, config.gs1_company_prefix)

    def draw(self, parcel: Parcel, kind: Kind) -> bytes:
        """One file; the same parcel gives the same bytes.

        Raises:
          Terminal: `bad_address`, `sscc_exhausted`.
        """
        match kind:
            case "label_pdf":
                return pdf([self._label(parcel)], self._fonts, title="Label")
            case "label_zpl":
                return zpl([self._label(parcel)], self._fonts)
            case "slip_pdf":
                return pdf(slip(parcel, self._fonts), self._fonts, title="Packing slip")

    def _label(self, parcel: Parcel) -> Page:
        return label(parcel, self._fonts, self._sender)
