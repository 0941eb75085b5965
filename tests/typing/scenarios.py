"""What tests of projections are offered. Never run: pyright must accept every line (tests/architecture/test_typing.py)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, assert_type

from cdc import UNCHANGED, CapturedTable
from cdc.testing import CapturedRows
from eventstore import NewEvent, RawEvent, event
from projections import Projection, Projections
from projections.chaos import Chaos, require_equal
from projections.testing import Fold
from tests.typing.shop_rows import PUBLIC_ORDER


@event("parcel-sent")
class ParcelSent:
    to: str


@dataclass(slots=True)
class Parcel:
    stream: str
    to: str


parcels = Projection("parcels")
table = parcels.table(Parcel, key="stream")
app = Projections(parcels)
rows = CapturedRows(PUBLIC_ORDER, key=["id"], partitions=3)
story = [
    rows.insert(id=1, note=""),
    rows.update(id=1, note=UNCHANGED),
    rows.delete(id=1),
    rows.truncate(),
    rows.snapshot({"id": 2}),
]


@parcels.effect(ParcelSent)
async def mail(sent: ParcelSent) -> None: ...


def tell() -> None:
    assert_type(rows.source, CapturedTable)
    given = [
        datetime(2026, 1, 31, tzinfo=UTC),
        ("p-1", ParcelSent("ada")),
        NewEvent(ParcelSent("bob")),
        RawEvent("parcel-sent", {}),
    ]
    scenario = Fold(app, [*story, *given]).when((parcels, "p-1", ParcelSent("ada"))).times(2)
    scenario.then_rows(table, Parcel("p-1", "ada")).then_derives(("p-1", ParcelSent), of=parcels).then_effects(
        "mail"
    ).then_nothing()
    assert_type(scenario.then_raises(ValueError, match="no"), BaseException)
    chaos = Chaos(app, seed=7)
    assert_type(chaos.run(story), dict[str, dict[Any, Any]])
    assert_type(require_equal(parcels, story, runs=3), str)
