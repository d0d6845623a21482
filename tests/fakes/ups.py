"""As much of UPS as karrio-ups calls: OAuth, ship, void, track; the shapes of its REST API.

It keeps books: `labels` by shipment id, each with its reference and whether it is alive.
"""

import base64
import io
import json
import time
from collections import Counter
from functools import partial

from PIL import Image

from tests.fakes.server import FakeServer, Reply

CREDENTIALS = {"client_id": "id", "client_secret": "secret", "account_number": "A1B2C3"}


def refusal(status, code, message):
    return Reply(status, {"response": {"errors": [{"code": code, "message": message}]}})


BAD_POSTAL_CODE = refusal(
    400, "120206", "The postal code 62701 is invalid for IL United States, Customer 1"
)


class FakeUps(FakeServer):
    """`wrongs` are taken one for each label that is asked for: what happens, or an answer."""

    def __init__(self):
        super().__init__()
        self.labels = {}
        self.asked = []
        """The documents of purchases, as they came."""
        self.calls = Counter()
        self.wrongs = []
        self.login = None
        """An answer in place of the token."""
        self.track_answer = refusal(404, "TW0001", "Tracking Information Not Found")
        self.void_answer = None

    @property
    def alive(self):
        with self.lock:
            return [number for number, one in self.labels.items() if one["alive"]]

    def answer(self, request):
        if request.path == ["security", "v1", "oauth", "token"]:
            return self._token(request)
        if not request.headers.get("authorization", "").startswith("Bearer token-"):
            return refusal(401, "250002", "Invalid Authentication Information.")
        match request.method, request.path:
            case "POST", ["api", "shipments", _, "ship"]:
                return self._asked(json.loads(request.body))
            case "DELETE", ["api", "shipments", _, "void", "cancel", number]:
                return self._void(number)
            case "GET", ["api", "track", "v1", "details", _]:
                self.calls["track"] += 1
                return self.track_answer
        return refusal(404, "10404", "no such resource")

    def error(self, status):
        return b"<html>Bad Gateway</html>"

    def _token(self, request):
        self.calls["token"] += 1
        if self.login:
            return self.login
        pair = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        if pair != f"{CREDENTIALS['client_id']}:{CREDENTIALS['client_secret']}":
            return refusal(401, "10401", "ClientId is Invalid")
        return Reply(
            200,
            {
                "token_type": "Bearer",
                "issued_at": str(int(time.time() * 1000)),
                "client_id": "id",
                "access_token": f"token-{self.calls['token']}",
                "expires_in": "14399",
                "status": "approved",
            },
        )

    def _asked(self, document):
        with self.lock:
            self.calls["ship"] += 1
            self.asked.append(document)
            wrong = self.next_wrong(self.wrongs)
        return self.go(wrong, partial(self._ship, document["ShipmentRequest"]))

    def _ship(self, asked):
        with self.lock:
            number = f"1Z999AA1{len(self.labels) + 1:010d}"
            reference = asked["Request"]["TransactionReference"]["CustomerContext"]
            self.labels[number] = {"reference": reference, "alive": True}
        return Reply(200, _shipped(number, asked["LabelSpecification"]["LabelImageFormat"]["Code"]))

    def _void(self, number):
        self.calls["void"] += 1
        if self.void_answer:
            return self.void_answer
        with self.lock:
            label = self.labels.get(number)
            if label is None:
                return refusal(400, "190102", "No shipment found within the allowed void period")
            if not label["alive"]:
                return refusal(400, "190117", "The shipment has already been voided")
            label["alive"] = False
        status = {"Code": "1", "Description": "Success"}
        return Reply(
            200,
            {
                "VoidShipmentResponse": {
                    "Response": {"ResponseStatus": status},
                    "SummaryResult": {"Status": {"Code": "1", "Description": "Voided"}},
                }
            },
        )


def tracked(number, status_type, description, *, date="20260303", time_="101500"):
    """What UPS says of a parcel whose latest scan is this."""
    scan = {
        "location": {"address": {"city": "SPRINGFIELD", "country": "US"}},
        "status": {"type": status_type, "description": description, "code": status_type},
        "date": date,
        "time": time_,
    }
    package = {
        "trackingNumber": number,
        "deliveryDate": [{"type": "DEL", "date": date}],
        "activity": [scan],
        "weight": {"unitOfMeasurement": "LBS", "weight": "1.00"},
    }
    return Reply(200, {"trackResponse": {"shipment": [{"package": [package]}]}})


def _shipped(number, kind):
    content = b"^XA^FDlabel^FS^XZ" if kind == "ZPL" else _png()
    return {
        "ShipmentResponse": {
            "Response": {"ResponseStatus": {"Code": "1", "Description": "Success"}},
            "ShipmentResults": {
                "ShipmentCharges": {
                    "TotalCharges": {"CurrencyCode": "USD", "MonetaryValue": "9.8"}
                },
                "ShipmentIdentificationNumber": number,
                "PackageResults": [
                    {
                        "TrackingNumber": number,
                        "ShippingLabel": {
                            "ImageFormat": {"Code": kind, "Description": kind},
                            "GraphicImage": base64.b64encode(content).decode(),
                        },
                    }
                ],
            },
        }
    }


def _png():
    buffer = io.BytesIO()
    Image.new("RGB", (140, 80), "white").save(buffer, format="PNG")
    return buffer.getvalue()
