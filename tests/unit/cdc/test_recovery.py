"""What became of a source, told from facts; what a snapshot contains; what the log got by a recovery."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.connect.config import Names
from cdc.connect.declaration import Connector
from cdc.connect.state import ConnectorState, TaskState
from cdc.plan.world import World
from cdc.reading import Snapshot, find_step
from cdc.recovery import Cure, count_came, diagnose
from cdc.void import compose_truncate
from eventstore.codec import decode, encode
from eventstore.errors import PreconditionFailed

NAMES = Names("shop.operations", "shop.operations", "shop_operations", "shop_operations")
CONNECTOR = Connector("operations", "postgresql://me@db.example:5432/shop", ("public.payment",))
SLOT = {"wal_status": "reserved", "invalidation_reason": None, "confirmed": "0/64", "confirmed_bytes": 100, "lag_bytes": 50}
CONFIG = {"database.hostname": "db.example", "database.port": "5432"}
RUNS = ConnectorState("RUNNING", (TaskState(0, "RUNNING"),))
STANDS = ConnectorState("STOPPED", ())
FAILS = ConnectorState("RUNNING", (TaskState(0, "FAILED", "org.postgresql.util.PSQLException: out of luck"),))


def see(**facts: Any) -> World:
    """Give a healthy world but for *facts*; `at` is the connector's offset, None = it has none."""
    at = facts.pop("at", 120)
    offsets = [] if at is None else [{"partition": {"server": NAMES.prefix}, "offset": {"lsn": at}}]
    healthy = {"config": CONFIG, "state": RUNS, "offsets": offsets, "server": {"is_standby": False}, "slot": SLOT}
    return World(**{"refused": {}, "publication": None, "tables": (), "columns": (), "topics": {}, **healthy, **facts})


@pytest.mark.parametrize(
    ("world", "cause", "cure"),
    [
        (see(), "none", Cure.NONE),
        (see(state=STANDS), "stands", Cure.RESUME),
        (see(state=FAILS), "failed", Cure.RESUME),
        (see(config=None, state=None), "deleted", Cure.RESUME),
        (see(config={**CONFIG, "database.hostname": "old.example"}), "moved", Cure.RESUME),
        (see(at=None, state=STANDS), "offsets", Cure.REPOSITION),
        (see(at=None), "none", Cure.NONE),
        (see(slot=None), "slot", Cure.SNAPSHOT),
        (see(slot={**SLOT, "wal_status": "lost"}), "slot", Cure.SNAPSHOT),
        (see(at=151), "server", Cure.SNAPSHOT),
        (see(at=90, state=FAILS), "offsets", Cure.SNAPSHOT),
        (see(slot=None, at=None, config=None, state=None), "everything", Cure.SNAPSHOT),
        (see(slot=None, at=None, state=STANDS), "slot", Cure.SNAPSHOT),
    ],
)
def test_causes(world: World, cause: str, cure: Cure) -> None:
    """Each thing that can be gone is named, and gets the cheapest cure that loses nothing."""
    found = diagnose(world, CONNECTOR, NAMES, (), judged=True)
    assert (found.cause, found.cure) == (cause, cure)
    assert str(cure) in str(found)


def test_nothing_cheap_unjudged() -> None:
    """Where no comparison follows, lost offsets lead to a snapshot; so does a lost topic in any case."""
    assert diagnose(see(at=None, state=STANDS), CONNECTOR, NAMES, (), judged=False).cure is Cure.SNAPSHOT
    assert diagnose(see(), CONNECTOR, NAMES, ("shop.operations.public.payment",), judged=True).cause == "topic"


def test_standby_is_refused() -> None:
    """A standby is no source."""
    with pytest.raises(PreconditionFailed, match="promoted"):
        diagnose(see(server={"is_standby": True}), CONNECTOR, NAMES, (), judged=True)


@given(st.integers(3, 1 << 40), st.integers(0, 1000), st.sets(st.integers(0, 999), max_size=5), st.integers(-1000, 2000))
def test_shows(xmin: int, width: int, running: set[int], distance: int) -> None:
    """A snapshot shows a transaction by its 32-bit id exactly when PostgreSQL does, however often ids have wrapped around."""
    xmax = xmin + width
    inside = {xmin + each for each in running if each < width}
    snapshot = Snapshot.parse(f"{xmin}:{xmax}:{','.join(map(str, sorted(inside)))}")
    whole = max(3, xmin + distance)
    assert snapshot.shows(whole % (1 << 32)) == (whole < xmin or (whole < xmax and whole not in inside))


def test_came() -> None:
    """Rows of snapshots, changes, and changes that had come before are told apart."""
    records = [("r", (5, 5)), ("c", (3, 4)), ("u", (7, 7)), ("m", (1, 1)), ("", (0, 0))]
    assert count_came(records, (5, 5)) == {"snapshot_rows": 1, "changes": 2, "repeated_changes": 1}
    assert count_came(records, None)["repeated_changes"] == 0


def test_steps() -> None:
    """Values become what records give: a bit a bool, an undeclared domain over numeric text, arrays element by element."""
    plain = {"is_domain": False, "is_array": False, "modifier": -1, "type": "x"}
    bit = find_step({**plain, "element": "bit", "modifier": 1}, "")
    assert bit is not None
    assert bit("1") is True
    assert find_step({**plain, "element": "numeric", "is_domain": True}, "") is None
    days = find_step({**plain, "element": "date", "is_array": True}, "")
    assert days is not None
    assert [str(each) for each in days(["2020-01-01", None, "infinity"])] == ["2020-01-01", "None", "infinity"]


def test_truncate() -> None:
    """The truncate of an empty table has the form of the table's records, with schema or without; other forms are left alone."""
    payload = {"op": "c", "before": None, "after": {"id": 1}, "source": {"lsn": 1, "table": "t"}, "ts_ms": 1, "transaction": None}
    for template in (payload, {"schema": {"type": "struct"}, "payload": payload}):
        made = compose_truncate(encode(template), 77, 5_000_000)
        assert made is not None
        whole = decode(made)
        found = whole.get("payload", whole)
        assert (found["op"], found["after"], found["source"]["sequence"]) == ("t", None, '[null,"77"]')
        assert ("schema" in whole) == ("schema" in template)
    assert compose_truncate(b"\x00\x00\x00\x00\x01", 77, 5) is None
