"""What the shop reads: orders by word, customers by what they are worth, and revenue by country.

projections run --app examples.orders.read_models:app
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from eventstore.envelope import Envelope
from examples.orders.ordering import OrderReceived, OrderShipped, OrderWithdrawn
from projections import Count, Projection, Projections, Search, Sum, Valkey


@dataclass(slots=True)
class Order:
    """A row per order; its key is the stream's name."""

    id: str
    customer: str
    items: list[str] = field(default_factory=list[str])
    cents: int = 0
    status: str = "open"
    received_at: datetime | None = None


@dataclass(slots=True)
class Customer:
    """A row per customer: how much they ordered."""

    name: str
    orders: int = 0
    cents: int = 0


order_book = Projection("order-book")
orders = order_book.table(Order, key="id")
order_search = orders.into(Search(text=["customer", "items"], exact=["status", "cents", "received_at"]))

customer_ranks = Projection("customer-ranks")
customers = customer_ranks.table(Customer, key="name")
customer_cache = customers.into(Valkey(ranked=["cents", "orders"]))

sales = Projection("sales")
revenue = sales.aggregate(OrderReceived, by="country", name="revenue", orders=Count(), cents=Sum("cents"))


@orders.on(OrderReceived)
def receive(event: OrderReceived, _: Order | None, envelope: Envelope[OrderReceived]) -> Order:
    """Enter a new order."""
    return Order(envelope.stream, event.customer, event.items, event.cents, received_at=envelope.recorded_at)


@orders.on(OrderShipped, OrderWithdrawn)
def finish(event: OrderShipped | OrderWithdrawn, row: Order | None) -> Order | None:
    """Note how it ended."""
    return row and replace(row, status="shipped" if isinstance(event, OrderShipped) else "withdrawn")


@customers.on(OrderReceived, key=lambda event: event.customer)
def count(event: OrderReceived, row: Customer | None) -> Customer:
    """Count an order for its customer."""
    row = row or Customer(event.customer)
    return replace(row, orders=row.orders + 1, cents=row.cents + event.cents)


app = Projections(order_book, customer_ranks, sales)
