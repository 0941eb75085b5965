"""An order, as a decider: what may happen to it, and what then is true of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from eventstore import event
from eventstore.decider import Decider
from eventstore.process import command


@event("order-placed")
class OrderPlaced:
    """A customer wants something worth *cents*."""

    customer: str
    cents: int


@event("order-paid")
class OrderPaid:
    """The money came."""

    cents: int


@event("order-cancelled")
class OrderCancelled:
    """The order came to nothing."""

    reason: str


@command("place-order")
class PlaceOrder:
    """Order something."""

    customer: str
    cents: int


@command("pay-order")
class PayOrder:
    """Note that the money came."""

    cents: int


@command("cancel-order")
class CancelOrder:
    """Give the order up, unless it is paid."""

    reason: str


class Refused(Exception):
    """The order does not allow this."""


OrderEvent = OrderPlaced | OrderPaid | OrderCancelled
OrderCommand = PlaceOrder | PayOrder | CancelOrder


@dataclass(frozen=True)
class Order:
    """What must be known of an order to decide."""

    status: Literal["new", "placed", "paid", "cancelled"] = "new"
    cents: int = 0


def evolve(order: Order, happened: OrderEvent) -> Order:
    """Give the order after what *happened*."""
    match happened:
        case OrderPlaced():
            return Order("placed", happened.cents)
        case OrderPaid():
            return replace(order, status="paid")
        case OrderCancelled():
            return replace(order, status="cancelled")


def decide(wanted: OrderCommand, order: Order) -> Sequence[OrderEvent]:
    """Say what follows from what is *wanted*; wanting what is so already changes nothing."""
    match wanted, order.status:
        case PlaceOrder(), "new":
            return [OrderPlaced(wanted.customer, wanted.cents)]
        case PayOrder(), "placed" if wanted.cents == order.cents:
            return [OrderPaid(wanted.cents)]
        case CancelOrder(), "placed":
            return [OrderCancelled(wanted.reason)]
        case (PlaceOrder(), "placed") | (PayOrder(), "paid") | (CancelOrder(), "paid" | "cancelled"):
            return []
        case _:
            raise Refused(f"an order that is {order.status} at {order.cents} cents does not allow {wanted}")


orders = Decider(Order, evolve, decide)
