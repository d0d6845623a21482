"""The description of the door is exact: what fits it is taken, what does not is refused, and every
answer is as it says. FULFILLMENT_FUZZ_EXAMPLES makes it more than a few examples an operation.
"""

import copy
import os

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from messages import Payment
from messages.order import Address
from tests import factories as make
from tests.work import rig
from worker.web.app import make_app

pytestmark = pytest.mark.heavy

EXAMPLES = int(os.environ.get("FULFILLMENT_FUZZ_EXAMPLES", "2"))
IDEMPOTENT = ("/v1/commands", "/v1/preview")
SAYS_LITTLE = ("/v1/orders", "/v1/jobs")
"""No schema can say that the sums of an order tie, or what a file of shipments is."""
ADDRESS = Address(
    name="Customer 1",
    lines=("1 Example Street",),
    city="Springfield",
    postal_code="1",
    country="US",
)

load_all_checks()


@pytest.fixture
def app(make_door, everything):
    """The application, and the headers of a key for everything."""
    made = make_app(make_door(web_rate_per_minute=10**9))
    return made, {"Authorization": f"Bearer {everything}"}


def described(app):
    """The description, without a header that two operations take in place of a field that the
    description asks for: together they mean what tests of their own say.
    """
    raw = copy.deepcopy(app.openapi())
    for path in IDEMPOTENT:
        operation = raw["paths"][path]["post"]
        operation["parameters"] = [
            one for one in operation["parameters"] if one["name"] != "Idempotency-Key"
        ]
    schema = schemathesis.openapi.from_dict(raw)
    schema.app = app
    return schema


@pytest.mark.timeout(1200)
def test_nothing_is_found_that_the_description_does_not_say(app, engine):
    """Requests that fit it and requests that do not, of each operation: statuses, types, headers
    and bodies of all answers are as described, what does not fit is refused, nothing is a 500.
    """
    made, headers = app
    rig.placed(engine)
    operations = [one.ok() for one in described(made).get_all_operations()]
    assert len(operations) == 19

    for operation in operations:
        for mode in GenerationMode:
            check(operation, mode, headers)


def check(operation, mode, headers):
    excluded = [positive_data_acceptance] if operation.path in SAYS_LITTLE else []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case):
        case.body = whole(case.body)
        case.call_and_validate(headers=headers, excluded_checks=excluded)

    try:
        run()
    except schemathesis.errors.InvalidSchema:
        raise
    except Exception as error:
        if type(error).__name__ not in {"Unsatisfiable", "SkipTest"}:
            raise


def whole(value):
    """The value with its numbers written whole, as the description asks for in words: to a schema
    2.0 is an integer.
    """
    match value:
        case dict():
            return {key: whole(one) for key, one in value.items()}
        case list():
            return [whole(one) for one in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def test_what_is_there_is_as_described(app, engine):
    """An order with all that can happen to it, its commands and its parcel: each address answers
    with 200 as described.
    """
    made, headers = app
    rig.placed(
        engine,
        payments=(Payment(payment_id="P1", captured_minor=300),),
        ship_to=ADDRESS,
        ship_from=ADDRESS,
    )
    ship = make.ship(items=make.items(A=1), carrier="dhl", label="generate")
    refund = make.refund(amount=make.money(50))
    refused, waits = make.ship(items=make.items(A=9)), make.ship(order_id="O-9")
    rig.decided(engine, ship, refund, refused, waits)
    schema = described(made)

    def get(path, **parameters):
        case = schema[path]["GET"].Case(path_parameters=parameters)
        assert case.call_and_validate(headers=headers).status_code == 200

    for one in (ship, refund, refused, waits):
        get("/v1/commands/{command_id}", command_id=str(one.command_id))
    get("/v1/orders")
    get("/v1/orders/{order_id}", order_id="O-1")
    get("/v1/orders/{order_id}/explain", order_id="O-1")
    get("/v1/events")
    get("/v1/jobs")
    for name in ("label.pdf", "label.zpl", "slip.pdf"):
        get(f"/v1/shipments/{{shipment_id}}/{name}", shipment_id=str(ship.command_id))
    for path in IDEMPOTENT:
        for body in (ship.body(), [refund.body(), refused.body(), make.cancel().body()]):
            case = schema[path]["POST"].Case(body=body, media_type="application/json")
            assert case.call_and_validate(headers=headers).status_code in {200, 202}
