"""A bill, as a decider: the payment side, which knows nothing of orders but a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eventstore import event
from eventstore.decider import Decider
from eventstore.process import command


@event("payment-requested")
class PaymentRequested:
    """Somebody was asked for *cents* for *order*."""

    order: str
    cents: int


@event("payment-received")
class PaymentReceived:
    """The money for *order* came."""

    order: str
    cents: int


@command("request-payment")
class RequestPayment:
    """Ask for the money."""

    order: str
    cents: int


@command("receive-payment")
class ReceivePayment:
    """Take the money."""


@dataclass(frozen=True)
class Bill:
    """What was asked for, and whether it came."""

    order: str = ""
    cents: int = 0
    received: bool = False


BillEvent = PaymentRequested | PaymentReceived


def evolve(_: Bill, happened: BillEvent) -> Bill:
    """Give the bill after what *happened*."""
    return Bill(happened.order, happened.cents, isinstance(happened, PaymentReceived))


def decide(wanted: RequestPayment | ReceivePayment, bill: Bill) -> Sequence[BillEvent]:
    """Ask once, receive once."""
    if isinstance(wanted, RequestPayment):
        return [] if bill.order else [PaymentRequested(wanted.order, wanted.cents)]
    return [] if bill.received or not bill.order else [PaymentReceived(bill.order, bill.cents)]


bills = Decider(Bill, evolve, decide)
