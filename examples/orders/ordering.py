"""An order, as a decider: what may happen to it, and what then is true of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eventstore import event
from eventstore.decider import Decider


@event("order-received")
class OrderReceived:
    """A customer wants *items*, worth *cents* together."""

    customer: str
    country: str
    items: list[str]
    cents: int


@event("order-shipped")
class OrderShipped:
    """The parcel left the house."""


@event("order-withdrawn")
class OrderWithdrawn:
    """The customer thought better of it."""

    reason: str


@dataclass(frozen=True)
class Receive:
    """Take an order in."""

    customer: str
    country: str
    items: list[str]
    cents: int


@dataclass(frozen=True)
class Ship:
    """Send the parcel."""


@dataclass(frozen=True)
class Withdraw:
    """Give the order up."""

    reason: str


OrderEvent = OrderReceived | OrderShipped | OrderWithdrawn
OrderCommand = Receive | Ship | Withdraw
Status = Literal["new", "open", "shipped", "withdrawn"]


class Refused(Exception):
    """The order does not allow this."""


def evolve(_: Status, happened: OrderEvent) -> Status:
    """Give the order's status after what *happened*."""
    match happened:
        case OrderReceived():
            return "open"
        case OrderShipped():
            return "shipped"
        case OrderWithdrawn():
            return "withdrawn"


def decide(wanted: OrderCommand, status: Status) -> Sequence[OrderEvent]:
    """Say what follows from what is *wanted*; wanting what is so already changes nothing."""
    match wanted, status:
        case Receive(), "new":
            return [OrderReceived(wanted.customer, wanted.country, wanted.items, wanted.cents)]
        case Ship(), "open":
            return [OrderShipped()]
        case Withdraw(), "open":
            return [OrderWithdrawn(wanted.reason)]
        case (Ship(), "shipped") | (Withdraw(), "withdrawn"):
            return []
        case _:
            raise Refused(f"an order that is {status} does not allow {wanted}")


def begin() -> Status:
    """Give the status before the first event."""
    return "new"


orders: Decider[OrderCommand, OrderEvent, Status] = Decider(begin, evolve, decide)
