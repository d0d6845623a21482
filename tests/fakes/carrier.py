"""A carrier with a simple JSON API, with look-up by reference, and its adapter.

    POST   /labels               {reference, ...} -> {id, tracking_number, label, cost_minor, ...}
    GET    /labels/by-reference/R
    DELETE /labels/I
    GET    /tracking/N           {state, at}

It buys whatever it is asked to, also twice under one reference: its books say what was bought.
"""

import base64
import http.client
import json
from collections import Counter
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

from tests.fakes.server import FakeServer, Reply, Wrong
from worker.errors import Terminal, Transient, Uncertain
from worker.postage.adapter import Bought, Transit

WRONGS = (
    Wrong.SILENT_BEFORE, Wrong.SILENT_AFTER, Wrong.ERROR_BEFORE, Wrong.ERROR_AFTER,
    Wrong.GARBAGE_AFTER, Wrong.BUSY, Wrong.CUT_AFTER, Wrong.DECLINED,
)  # fmt: skip
"""What can go wrong with a purchase; it is declined for a bad address."""
HARMLESS = tuple(wrong for wrong in WRONGS if wrong is not Wrong.DECLINED)
"""Those that heal by themselves."""


class FakeCarrier(FakeServer):
    """The carrier's books: `labels` by id, each with its reference and whether it is alive.

    `wrongs` are taken first, one for each purchase that is asked for.
    """

    def __init__(self, *, wrongs=(), kinds=WRONGS, prefix="FC", **server):
        super().__init__(weights=dict.fromkeys(kinds, 1.0), **server)
        self.labels = {}
        self.transits = {}
        self.wrong_track = None
        """An answer in place of where a parcel is."""
        self.in_transit = set()
        self.calls = Counter()
        self.asked = []
        """The documents of purchases, as they came."""
        self.wrongs = list(wrongs)
        self.done_wrong = Counter()
        self.prefix = prefix
        self.before_purchase = lambda: None
        self.before_answer = lambda: None
        """Called for each purchase, in the server's thread."""

    @property
    def alive(self):
        """How many labels are alive, by reference."""
        with self.lock:
            return Counter(one["reference"] for one in self.labels.values() if one["alive"])

    @property
    def bought(self):
        """How many labels were ever bought."""
        with self.lock:
            return len(self.labels)

    def numbers(self):
        """Tracking numbers of what is alive, in the order in which they were bought."""
        with self.lock:
            return [one["tracking_number"] for one in self.labels.values() if one["alive"]]

    def answer(self, request):
        match request.method, request.path:
            case "POST", ["labels"]:
                return self._asked(json.loads(request.body))
            case "GET", ["labels", "by-reference", reference]:
                return self._find(reference)
            case "DELETE", ["labels", label_id]:
                return self._void(label_id)
            case "GET", ["tracking", number]:
                return self._track(number)
        return Reply(404, self.error(404))

    def error(self, status):
        return {"error": "not_found" if status == 404 else "internal"}

    def _asked(self, document):
        with self.lock:
            self.calls["buy"] += 1
            self.asked.append(document)
            wrong = self.next_wrong(self.wrongs)
            if wrong:
                self.done_wrong[str(wrong)] += 1
        if wrong is Wrong.DECLINED:
            return Reply(422, {"error": "bad_address", "fields": ["postal_code", "city"]})
        return self.go(wrong, partial(self.buy, document["reference"]))

    def buy(self, reference):
        """Sell a label, also a second one under a reference."""
        self.before_purchase()
        with self.lock:
            number = f"{self.prefix}{len(self.labels) + 1:09d}"
            label = {
                "id": f"L{len(self.labels) + 1}",
                "reference": reference,
                "tracking_number": number,
                "label": base64.b64encode(f"%PDF-1.4 label {number}".encode()).decode(),
                "cost_minor": 725,
                "currency": "USD",
                "alive": True,
            }
            self.labels[label["id"]] = label
        self.before_answer()
        return Reply(201, label)

    def _find(self, reference):
        with self.lock:
            self.calls["find"] += 1
            for label in self.labels.values():
                if label["reference"] == reference and label["alive"]:
                    return Reply(200, label)
        return Reply(404, self.error(404))

    def _void(self, label_id):
        with self.lock:
            self.calls["void"] += 1
            label = self.labels.get(label_id)
            if label is None:
                return Reply(404, self.error(404))
            if label["tracking_number"] in self.in_transit:
                return Reply(409, {"error": "in_transit"})
            label["alive"] = False
            return Reply(200, label)

    def _track(self, number):
        with self.lock:
            self.calls["track"] += 1
            return self.wrong_track or Reply(200, self.transits.get(number, {"state": "announced"}))


class FakeAdapter:
    """Speaks to it: `url`, `can_find` (yes or no), `settles_within_s`, `timeout_s`."""

    def __init__(self, carrier, settings):
        if "url" not in settings:
            raise ValueError("url is missing")
        self.carrier = carrier
        self.can_find = settings.get("can_find", "yes") == "yes"
        self.settles_within_s = float(settings.get("settles_within_s", "0"))
        self._timeout_s = float(settings.get("timeout_s", "5"))
        self._where = urlsplit(settings["url"]).netloc

    def buy(self, order):
        document = {
            "reference": order.purchase_id.hex,
            "order": order.reference,
            "ship_to": order.ship_to.model_dump(mode="json"),
            "service": order.service,
            "weight_g": order.weight_g,
        }
        return _bought(self._call("POST", "/labels", document, buys=True))

    def find(self, purchase_id):
        found = self._call("GET", f"/labels/by-reference/{purchase_id.hex}", missing=None)
        return found and _bought(found)

    def void(self, carrier_id, tracking_number):
        self._call("DELETE", f"/labels/{carrier_id}")

    def track(self, tracking_number):
        found = self._call("GET", f"/tracking/{tracking_number}")
        at = found.get("at")
        return Transit(found["state"], datetime.fromisoformat(at) if at else None)

    def _call(self, method, path, document=None, *, buys=False, missing=...):
        unsure = Uncertain if buys else Transient
        connection = http.client.HTTPConnection(self._where, timeout=self._timeout_s)
        try:
            try:
                connection.connect()
            except OSError:
                raise Transient("carrier_away", "the carrier cannot be reached") from None
            try:
                body = None if document is None else json.dumps(document)
                connection.request(method, path, body)
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise unsure("carrier_silent", type(error).__name__) from None
        finally:
            connection.close()
        status = response.status
        if status == 404 and missing is not ...:
            return missing
        if status == 429:
            after_s = float(response.headers["Retry-After"])
            raise Transient("carrier_busy", "the carrier asks us to wait", after_s)
        if status >= 500:
            raise unsure("carrier_error", f"HTTP {status}")
        try:
            answer = json.loads(content)
        except ValueError:
            raise unsure("carrier_nonsense", "the answer is no JSON") from None
        if status >= 400:
            fields = ", ".join(answer.get("fields", ()))
            raise Terminal(answer["error"], f"correct ship_to: {fields}")
        return answer


def _bought(answer):
    return Bought(
        carrier_id=answer["id"],
        tracking_number=answer["tracking_number"],
        label=base64.b64decode(answer["label"]),
        label_kind="label_pdf",
        cost_minor=answer["cost_minor"],
        currency=answer["currency"],
    )
