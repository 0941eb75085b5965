"""Positions in the log, and where a connector can be moved to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.connect.config import Names
from cdc.connect.state import ConnectorState, TaskState
from cdc.offsets import Window, find_window, read_position, require_stopped, weigh_move, write_position
from cdc.signal import Channel, find_channel, write_snapshot
from cdc.snapshot import Snapshot, check_snapshot, read_notification
from eventstore.errors import PreconditionFailed, UsageError

NAMES = Names("shop.ops", "shop.ops", "s", "p")


@given(st.integers(0, (1 << 64) - 1))
def test_positions(position):
    """A position is read back as it was written, and a plain number is one too."""
    assert read_position(write_position(position)) == read_position(str(position)) == position


@pytest.mark.parametrize("text", ["abc", "", "1/2/3", "1/", "-5", str(1 << 64)])
def test_no_position(text):
    """What is no position is refused; Connect would take it."""
    with pytest.raises(UsageError, match="no position"):
        read_position(text)


def test_moves():
    """A move says what it skips or repeats, and one that the slot can't make is refused."""
    window = Window(stands=500, first=400, last=900)
    assert "100 bytes of the log are SKIPPED" in weigh_move(window, 600)
    assert "50 bytes of the log are repeated" in weigh_move(window, 450)
    assert weigh_move(window, 500) == "the connector goes on from 0/1F4"
    for position, said in ((399, "has let go"), (901, "the log ends")):
        with pytest.raises(PreconditionFailed, match=said):
            weigh_move(window, position)
    with pytest.raises(PreconditionFailed, match="no slot"):
        weigh_move(Window(500, None, None), 500)


def test_window():
    """The window comes from our own offset and the slot; others' offsets don't count."""
    offsets = [{"partition": {"server": "x"}, "offset": {"lsn": 1}}, {"partition": {"server": "shop.ops"}, "offset": {"lsn": 7}}]
    assert find_window(offsets, NAMES, {"confirmed_bytes": 5, "lag_bytes": 10}) == Window(7, 5, 15)
    assert find_window([], NAMES, None) == Window(None, None, None)


@pytest.mark.parametrize("state", [None, ConnectorState("RUNNING", ()), ConnectorState("STOPPED", (TaskState(0, "RUNNING"),))])
def test_stopped_only(state):
    """Offsets are changed only when the connector is stopped and no task is left."""
    with pytest.raises(PreconditionFailed, match="only after `cdc stop`"):
        require_stopped(state, "shop.ops")


def test_channels():
    """The topic is taken when there is one, else the table; a connector that listens nowhere is refused."""
    table = {"signal.enabled.channels": "kafka,source", "signal.data.collection": "public.sig", "signal.kafka.topic": "t"}
    assert find_channel(table, NAMES) == Channel("topic", "t")
    assert find_channel({**table, "signal.enabled.channels": "source"}, NAMES) == Channel("table", "public.sig")
    with pytest.raises(PreconditionFailed, match="listens to no signals"):
        find_channel({}, NAMES)


def test_snapshot_data():
    """Tables are sent as expressions that match nothing else; a condition becomes a filter, or a query when it blocks."""
    assert write_snapshot(["s.t"])["data-collections"] == [r"s\.t"]
    assert write_snapshot(["s.t"], where="id > 5")["additional-conditions"] == [{"data-collection": "s.t", "filter": "id > 5"}]
    blocking = write_snapshot(["s.t"], where="id > 5", blocking=True)
    assert blocking["additional-conditions"][0]["filter"] == "select * from s.t where id > 5"


def test_completed_is_no_success():
    """COMPLETED without SUCCEEDED for every table is a failure, as a generated column makes it."""
    snapshot = Snapshot("id", "table", {"s.a": "waiting", "s.b": "waiting"})
    done = {"scanned_collection": "s.a", "total_rows_scanned": "5", "status": "SUCCEEDED"}
    snapshot.note({"type": "TABLE_SCAN_COMPLETED", "additional_data": done})
    snapshot.note({"type": "TABLE_SCAN_COMPLETED", "additional_data": {"scanned_collection": "s.b", "status": "SQL_EXCEPTION"}})
    snapshot.note({"type": "COMPLETED", "additional_data": {}})
    assert (snapshot.ended, snapshot.succeeded, snapshot.tables) == (True, False, {"s.a": "SUCCEEDED", "s.b": "SQL_EXCEPTION"})


def test_snapshot_is_refused_beforehand():
    """What Debezium would fail at in silence is refused with every reason."""
    tables = [{"name": "s.a", "exists": True, "has_key": False}, {"name": "s.b", "exists": False, "has_key": False}]
    columns = [{"table_name": "s.a", "column_name": "g", "reason": "generated"}]
    with pytest.raises(PreconditionFailed) as refused:
        check_snapshot(["s.a", "s.b"], ["s.a"], tables, columns)
    assert len(refused.value.facts["reasons"]) == 4


@pytest.mark.parametrize("value", [None, b"", b"no JSON", b"[]", b'{"payload": null}', b"{}"])
def test_no_notification(value):
    """A record that is no notification is passed over."""
    assert read_notification(value) is None


def test_notification():
    """A notification is read with and without its schema."""
    assert (
        read_notification(b'{"payload": {"type": "STARTED"}}') == read_notification(b'{"type": "STARTED"}') == {"type": "STARTED"}
    )
