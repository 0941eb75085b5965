"""What is judged at the source database."""

from __future__ import annotations

import pytest

from cdc.check import check_columns, check_publication, check_server, check_slot, check_slots, check_tables

SERVER = {"wal_level": "logical", "slots": 10, "slots_used": 1, "is_standby": False, "may_replicate": True}
TABLE = {"name": "s.t", "exists": True, "kind": "r", "identity": "d", "has_key": True, "readable": True}
PUBLICATION = {"all_operations": True, "all_tables": False, "tables": ["s.t"]}
SLOT = {
    "active": True, "streaming": True, "wal_status": "reserved", "invalidation_reason": None, "retained_bytes": 1, "lag_bytes": 0
}  # fmt: skip


def codes(found):
    """Shorten findings to severity and code."""
    return [(finding.severity, finding.code) for finding in found]


def test_nothing_to_say():
    """A sound source gives no finding."""
    assert check_server(SERVER, "u") + check_slots(SERVER, None) + check_tables([TABLE], "u") == []
    assert check_publication(PUBLICATION, "p", ["s.t"]) + check_slot(SLOT, "x") == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"wal_level": "replica"}, "wal_level"),
        ({"is_standby": True}, "standby"),
        ({"may_replicate": False}, "role"),
        ({"may_replicate": None}, "role"),
    ],
)
def test_server(change, code):
    """A server or role that can't replicate fails."""
    assert codes(check_server({**SERVER, **change}, "u")) == [("fail", code)]


def test_slots():
    """No free slot fails, unless ours exists already."""
    full = {**SERVER, "slots_used": 10}
    assert codes(check_slots(full, None)) == [("fail", "slots")]
    assert check_slots(full, SLOT) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"exists": False}, ("fail", "table")),
        ({"kind": "p"}, ("fail", "partitioned")),
        ({"kind": "v"}, ("fail", "kind")),
        ({"readable": False}, ("fail", "grant")),
        ({"has_key": False}, ("fail", "identity")),
        ({"identity": "n"}, ("fail", "identity")),
        ({"has_key": False, "identity": "f"}, ("warn", "key")),
    ],
)
def test_tables(change, expected):
    """A table that can't be captured soundly fails, with a statement that helps."""
    (finding,) = check_tables([{**TABLE, **change}], "u")
    assert (finding.severity, finding.code) == expected
    assert finding.remedy


@pytest.mark.parametrize("reason", ["generated", "dimensions", "absent", "unchanged", "domain"])
def test_columns(reason):
    """Columns whose values may not arrive are warned of together by name; others are not."""
    column = {"table_name": "s.t", "column_name": "c", "type": "bool[]", "reason": reason}
    (finding,) = check_columns([column, {**column, "reason": None}, {**column, "column_name": "d"}])
    assert (finding.severity, finding.code) == ("warn", reason)
    assert finding.what.endswith("c (bool[]), d (bool[])")


@pytest.mark.parametrize("change", [{"tables": []}, {"tables": ["s.t", "s.u"]}, {"all_operations": False}])
def test_publication_drift(change):
    """A publication with other tables or fewer operations fails."""
    assert codes(check_publication({**PUBLICATION, **change}, "p", ["s.t"])) == [("fail", "publication")]


@pytest.mark.parametrize(
    "slot",
    [
        None,
        {**SLOT, "active": False},
        {**SLOT, "wal_status": "lost"},
        {**SLOT, "wal_status": "unreserved"},
        {**SLOT, "streaming": False},
    ],
)
def test_slot(slot):
    """A slot that is gone, idle, lost or about to be lost fails."""
    assert codes(check_slot(slot, "x")) == [("fail", "slot")]
