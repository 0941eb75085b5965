"""Fulfilment: an order was placed, so ask for the money; it came, or it did not come in time.

eventstore processes run --app examples.fulfilment.fulfilment:app
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from eventstore.process import Call, Cancel, Complete, Effect, Process, Processes, Schedule, Send, command
from examples.fulfilment.billing import PaymentReceived, ReceivePayment, RequestPayment, bills
from examples.fulfilment.orders import CancelOrder, OrderCancelled, OrderPaid, OrderPlaced, PayOrder, PlaceOrder, orders

PATIENCE = timedelta(seconds=float(os.environ.get("FULFILMENT_PATIENCE_S", "86400")))


@command("payment-overdue")
class PaymentOverdue:
    """The money did not come in time."""


@dataclass(frozen=True)
class Fulfilment:
    """Where the fulfilment of one order is."""

    order: str
    cents: int = 0


Happened = OrderPlaced | PaymentReceived | OrderPaid | OrderCancelled | PaymentOverdue


def find_order(happened: Happened, stream: str) -> str:
    """Give the order that an event is about: its own stream, or the one that a bill names."""
    return happened.order if isinstance(happened, PaymentReceived) else stream


def evolve(state: Fulfilment, happened: Happened) -> Fulfilment:
    """Remember what the order is worth."""
    return replace(state, cents=happened.cents) if isinstance(happened, OrderPlaced) else state


def react(state: Fulfilment, happened: Happened) -> Iterable[Effect]:
    """Say what follows from what *happened*."""
    match happened:
        case OrderPlaced():
            yield Send(f"bill-{state.order}", RequestPayment(state.order, happened.cents))
            yield Schedule("payment", PaymentOverdue(), after=PATIENCE)
        case PaymentReceived():
            yield Cancel("payment")
            yield Send(state.order, PayOrder(happened.cents))
        case PaymentOverdue():
            yield Send(state.order, CancelOrder(f"{state.cents} cents did not come in time"))
        case OrderPaid():
            yield Call("thank", {"order": state.order})
            yield Complete()
        case OrderCancelled():
            yield Complete()


fulfilment = Process(
    "fulfilment",
    Fulfilment,
    evolve,
    react,
    events=(OrderPlaced, PaymentReceived, OrderPaid, OrderCancelled),
    key=find_order,
)
app = Processes(fulfilment)
app.route(orders, PlaceOrder, PayOrder, CancelOrder)
app.route(bills, RequestPayment, ReceivePayment)


@app.caller("thank")
async def thank(data: Mapping[str, Any], key: UUID) -> None:
    """Print a line of thanks; a mail service would be given *key*, so that it sends one mail however often it is asked."""
    print(f"thanks for {data['order']} ({key})")
