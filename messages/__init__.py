"""The contract: commands, outcomes and wire names, for producers and for the worker.

A producer needs only this package: build a command, publish it. Nothing here reaches the database
or imports the worker.
"""

from messages.commands import (
    Cancel,
    Command,
    Complete,
    Hold,
    InvalidCommand,
    NewCarrier,
    Place,
    Refund,
    Release,
    Ship,
    UpdateTracking,
    Void,
    parse,
)
from messages.fields import Item, Money
from messages.ids import new_command_id
from messages.order import (
    Address,
    Customer,
    DoneRefund,
    DoneRefundItem,
    DoneRefundPart,
    DoneShipment,
    Fee,
    OrderLine,
    Payment,
    PlacedOrder,
)
from messages.outcomes import Applied, Outcome, Reason, Rejected
from messages.problems import Problem
from messages.publish import publish, publish_many
from messages.signing import SigningKey

__all__ = [
    "Address",
    "Applied",
    "Cancel",
    "Command",
    "Complete",
    "Customer",
    "DoneRefund",
    "DoneRefundItem",
    "DoneRefundPart",
    "DoneShipment",
    "Fee",
    "Hold",
    "InvalidCommand",
    "Item",
    "Money",
    "NewCarrier",
    "OrderLine",
    "Outcome",
    "Payment",
    "Place",
    "PlacedOrder",
    "Problem",
    "Reason",
    "Refund",
    "Rejected",
    "Release",
    "Ship",
    "SigningKey",
    "UpdateTracking",
    "Void",
    "new_command_id",
    "parse",
    "publish",
    "publish_many",
]
