"""Read models of a shop's tables: payments as they are with columns of many types, and their notes under keys of their own."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from cdc import CapturedTable, Change
from projections import Projection, Projections

SCHEMA = """
CREATE TABLE payment (
    id integer PRIMARY KEY, account text NOT NULL, amount numeric NOT NULL DEFAULT 1, at timestamptz DEFAULT now(), day date,
    note text, flags boolean[], tags text[], days date[], details jsonb, receipt bytea, code uuid, took interval, span int4range,
    address inet, mask bit(4), rate real, clock timetz, pattern varbit(8), shape point, until timestamp
)"""
PAYMENTS = CapturedTable("operations", "public.payment")


@dataclass(slots=True)
class Payment:
    id: int
    account: str
    amount: Decimal
    at: datetime | None
    day: date | None
    note: str | None
    flags: list | None
    tags: list | None
    days: list | None
    details: dict | None
    receipt: bytes | None
    code: UUID | None
    took: timedelta | None
    span: str | None
    address: str | None
    mask: str | None
    rate: float | None
    clock: str | None
    pattern: str | None
    shape: str | None
    until: str | None


@dataclass(slots=True)
class Note:
    label: str
    text: str | None


payments = Projection("payments")
copies = payments.table(Payment, key="id")
notes = payments.table(Note, key="label")


@copies.on_change(PAYMENTS)
def keep(change: Change, row: Payment | None) -> Payment | None:
    if change.after is None:
        return None
    new = change.after
    text = {each: None if new[each] is None else str(new[each]) for each in ("span", "address", "clock", "until", "shape")}
    took = None if new["took"] is None else new["took"].as_timedelta()
    days = None if new["days"] is None else [str(each) for each in new["days"]]
    plain = {each: new[each] for each in ("id", "account", "amount", "at", "day", "note", "flags", "tags", "details")}
    rest = {each: new[each] for each in ("receipt", "code", "mask", "rate", "pattern")}
    return Payment(**plain, **text, **rest, took=took, days=days)


@notes.on_change(PAYMENTS, key=lambda change: f"payment {change.key[0]}")
def label(change: Change, row: Note | None) -> Note | None:
    return None if change.after is None else Note(f"payment {change.key[0]}", change.after["note"])


app = Projections(payments)
