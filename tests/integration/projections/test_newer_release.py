"""Deploys in the wrong order: a newer release writes while an older one still reads. Afterwards a replay makes the rows right."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from eventstore.log.wire import compose
from tests.bank.log import AT
from tests.bank.runs import ended
from tests.stack.forks import Child
from tests.stack.waiting import eventually

HEAD = """
from dataclasses import dataclass
from eventstore import event, upcast
from eventstore.schema import rename
from projections import Projection, Projections

@dataclass(slots=True)
class Order:
    order: str
    quantity: int = 0
    cancelled: bool = False

shop = Projection("shop")
orders = shop.table(Order, key="order")
"""
APP = "app = Projections(shop)"
OLD = """
@event("f30-order-placed", version=1)
class OrderPlaced:
    order: str
    qty: int

@orders.on(OrderPlaced)
def placed(event: OrderPlaced, row: Order | None) -> Order:
    row = row or Order(event.order)
    row.quantity += event.qty
    return row
"""
NEW = """
@event("f30-order-placed", version=2)
class OrderPlaced:
    order: str
    quantity: int

upcast("f30-order-placed", version=1)(rename(qty="quantity"))

@event("f30-order-cancelled")
class OrderCancelled:
    order: str

@orders.on(OrderPlaced)
def placed(event: OrderPlaced, row: Order | None) -> Order:
    row = row or Order(event.order)
    row.quantity += event.quantity
    return row

@orders.on(OrderCancelled)
def cancelled(event: OrderCancelled, row: Order | None) -> Order:
    row = row or Order(event.order)
    row.cancelled = True
    return row
"""
PLACED, CANCELLED = "f30-order-placed", "f30-order-cancelled"
HISTORY: list[tuple[str, str, int, dict[str, Any]]] = [
    ("order-1", PLACED, 1, {"qty": 1}),
    ("order-2", PLACED, 1, {"qty": 2}),
    ("order-2", PLACED, 2, {"quantity": 20}),
    ("order-2", PLACED, 1, {"qty": 200}),
    ("order-3", CANCELLED, 1, {}),
    ("order-3", PLACED, 1, {"qty": 3}),
    ("order-4", PLACED, 1, {"qty": 4}),
]
RIGHT = {"order-1": (1, False), "order-2": (222, False), "order-3": (3, True), "order-4": (4, False)}


def documents() -> list[tuple[str, bytes]]:
    """Write the history as the relay does."""
    versions: dict[str, int] = {}
    written: list[tuple[str, bytes]] = []
    for number, (stream, name, version, data) in enumerate(HISTORY, 1):
        versions[stream] = versions.get(stream, 0) + 1
        fields = json.dumps({"order": stream, **data})
        identity = f"00000000-0000-4000-8000-{number:012}"
        row = (stream, versions[stream], 1000 + number, number, identity, name, version, fields, "{}", AT, AT, None)
        written.append((stream, compose(row, "shop")))
    return written


@pytest.mark.parametrize(
    ("policy", "rows", "parked"),
    [
        ({}, {"order-1": 1, "order-2": 2, "order-3": 3, "order-4": 4}, ["order-2", "order-2"]),
        (
            {"REFOLD_EVENTS_NEWER": "skip", "REFOLD_EVENTS_UNDECLARED": "park"},
            {"order-1": 1, "order-2": 202, "order-4": 4},
            ["order-3", "order-3"],
        ),
    ],
    ids=["default", "turned-round"],
)
async def test_newer_events_first(
    runs, log, tmp_path: Path, policy: dict[str, str], rows: dict[str, int], parked: list[str]
) -> None:
    """F30: what a release can't know is parked or passed over, as set; after the upgrade and a replay all rows are right."""
    app = {"PYTHONPATH": str(tmp_path), "REFOLD_PROJECTIONS_APP": "f30_shop:app"}
    source = tmp_path / "f30_shop.py"
    source.write_text(HEAD + OLD + APP)
    await log.write_raw(*documents())
    old = runs.child("projections", "run", **app, **policy)
    async with ended(old):
        await eventually(
            lambda: _is(runs, {order: (quantity, False) for order, quantity in rows.items()}), "the old release's rows"
        )
        assert sorted(each["key"] for each in await runs.parked()) == parked
    source.write_text(HEAD + NEW + APP)
    done = await _finish(runs.child("replay", "--projection", "shop", "--from-beginning", "--json", **app, **policy))
    assert done.returncode == 0, done.stdout
    assert await _rows(runs) == RIGHT
    live = "SELECT generation FROM projections.pointer WHERE projection = 'shop'"
    assert await runs.query(f"SELECT * FROM projections.parked WHERE generation = ({live})") == []


async def _finish(process: Child) -> subprocess.CompletedProcess[str]:
    out, _ = await asyncio.to_thread(process.communicate, timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out)


async def _rows(runs: Any) -> dict[str, tuple[int, bool]]:
    found = await runs.query(
        "SELECT g.schema_name FROM projections.pointer AS p JOIN projections.generation AS g ON g.id = p.generation"
        " WHERE p.projection = 'shop'"
    )
    if not found:
        return {}
    rows = await runs.query(f'SELECT * FROM {found[0]["schema_name"]}."order"')
    return {each["order"]: (each["quantity"], each["cancelled"]) for each in rows}


async def _is(runs: Any, wanted: dict[str, tuple[int, bool]]) -> bool:
    return await _rows(runs) == wanted
