"""What each kind of record becomes, on records captured from the real Debezium."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest

from cdc import UNCHANGED, Change
from cdc.change import Decoder, read_boundary
from eventstore.errors import UndecodableRecord

SCHEMA = "envelope-with-schema"


def decode(records, **options):
    """Decode records of one topic in order."""
    decoder = Decoder(**options)
    return [decoder.decode(record.key, record.value) for record in records]


def test_create(captured):
    """An insert gives the whole row, its key and no before."""
    change = next(c for c in decode(captured(SCHEMA, "inv.plain")) if c and c.op == "c" and c.key == (2,))
    assert (change.table, change.key_names, change.before) == ("inv.plain", ("id",), None)
    assert change.after == change.row == {"id": 2, "name": "tx1", "big": None}


def test_snapshot_rows(captured):
    """A snapshot's rows carry their marker, streamed rows carry none."""
    changes = [c for c in decode(captured(SCHEMA, "inv.alltypes")) if c]
    assert [c.source.snapshot for c in changes if c.op == "r"] == ["first", "last_in_data_collection"]
    assert {c.source.snapshot for c in changes if c.op != "r"} == {None}


def test_update_leaves_unchanged_out(captured):
    """An update that did not touch an out-of-line column gives UNCHANGED for it, never Debezium's placeholder."""
    change = next(c for c in decode(captured(SCHEMA, "inv.plain")) if c and c.op == "u" and c.key == (1,))
    assert change.after == {"id": 1, "name": "b", "big": UNCHANGED}
    assert change.before is None


def test_delete_has_key_only(captured):
    """A delete under the default replica identity gives its key and hides the invented before."""
    change = next(c for c in decode(captured(SCHEMA, "inv.alltypes")) if c and c.op == "d")
    assert (change.key, change.before, change.after, change.row) == ((10,), None, None, {"id": 10})


def test_full_identity_gives_before(captured):
    """With REPLICA IDENTITY FULL declared, updates and deletes give the row as it was."""
    update, delete = (c for c in decode(captured(SCHEMA, "inv.full_ri"), full=True) if c and c.op in "ud")
    assert (update.before["name"], update.after["name"], delete.before["name"]) == ("a", "b", "b")
    assert len(delete.before["big"]) > 2000


def test_tombstone_is_none(captured):
    """A tombstone gives None."""
    records = [record for record in captured(SCHEMA, "inv.plain") if record.value is None]
    assert records
    assert decode(records) == [None] * len(records)


def test_truncate(captured):
    """A truncate has its table, no key and no row."""
    change = next(c for c in decode(captured(SCHEMA, "inv.nopk")) if c and c.op == "t")
    assert (change.table, change.key, change.row) == ("inv.nopk", (), {})


def test_table_without_key(captured):
    """Rows of a table without primary key come with an empty key."""
    change = next(c for c in decode(captured(SCHEMA, "inv.nopk")) if c and c.op == "c")
    assert (change.key, change.after) == ((), {"a": 2, "b": "y"})


def test_messages(captured):
    """Logical messages give their prefix and their bytes, in a transaction or not."""
    first, second = decode(captured(SCHEMA, "t1.message"))
    assert (first.op, first.table, first.row) == ("m", "", {"prefix": "evt", "content": b"hello"})
    assert (second.row["content"], second.source.tx_id) == (b"hello-nontx", None)


def test_transaction_boundaries(captured):
    """The transaction topic's BEGIN and END share the transaction id, whatever LSN follows it."""
    begin, end = (read_boundary(record.value) for record in captured(SCHEMA, "t1.transaction")[:2])
    assert (begin.status, end.status, begin.tx_id == end.tx_id) == ("BEGIN", "END", True)
    assert (end.event_count, end.tables, begin.tables) == (1, {"inv.heartbeat": 1}, {})


def test_schema_follows_alter(captured):
    """Added, renamed, retyped and dropped columns appear as the row's own schema has them."""
    rows = {c.key[0]: c.after for c in decode(captured(SCHEMA, "inv.plain")) if c and c.op == "c"}
    assert [sorted(rows[key].keys() - {"id", "name", "big"}) for key in (3, 4, 5, 7)] == [
        [],
        ["extra", "n2"],
        ["extra2", "n2"],
        ["n2"],
    ]
    assert [str(rows[key]["n2"]) for key in (4, 5, 6, 7)] == ["1.500", "2.500", "2.12345", "3.00000"]


def test_order_of_shared_lsns(captured):
    """Rows of one COPY share positions, and no later row orders before an earlier one of its partition."""
    orders = [c.order for c in decode(captured("copy-shared-lsn-and-interleaved-tx"), columns={"id": "bigint", "v": "text"})]
    assert len(set(orders)) < len(orders)
    assert orders == sorted(orders)


def test_order_against_lsn(captured):
    """Interleaved transactions order by commit where their LSNs go backwards."""
    changes = decode(captured("copy-shared-lsn-and-interleaved-tx"), columns={"id": "bigint", "v": "text"})
    lsns = [c.source.lsn for c in changes]
    assert lsns != sorted(lsns)


def test_commit_time(captured):
    """The commit time is exact to the microsecond and in UTC."""
    change = next(c for c in decode(captured(SCHEMA, "inv.alltypes")) if c and c.op == "c")
    assert change.source.committed_at == datetime(2026, 11, 21, 1, 27, 59, 548508, tzinfo=UTC)
    assert change.total_order == 1


def test_pickle(captured):
    """A change survives pickling, its sentinels as the same objects."""
    change = next(c for c in decode(captured(SCHEMA, "inv.plain")) if c and c.op == "u")
    copy: Change = pickle.loads(pickle.dumps(change))
    assert copy == change
    assert copy.after["big"] is UNCHANGED


def test_every_captured_change_decodes(captured):
    """Every record of every captured table decodes or is a tombstone."""
    for topic in {record.topic for record in captured(SCHEMA) if ".inv." in record.topic}:
        for change, record in zip(decode(captured(SCHEMA, topic)), captured(SCHEMA, topic), strict=True):
            assert (change is None) == (record.value is None)


def test_flattened_record_is_refused(captured):
    """A record flattened by ExtractNewRecordState is refused by name."""
    record = captured("unwrap-and-null-default", "inv.plain")[0]
    with pytest.raises(UndecodableRecord, match="ExtractNewRecordState"):
        Decoder(columns={"id": "int"}).decode(record.key, record.value)


def test_json_number_for_decimal_is_refused(captured):
    """A decimal that arrived as a JSON number, and may have lost digits, is refused."""
    record = captured("unwrap-and-null-default", "inv.plain")[5]
    columns = {"id": "int", "name": "text", "n2": "numeric"}
    with pytest.raises(UndecodableRecord, match=r"column n2.*lost digits"):
        Decoder(columns=columns).decode(record.key, record.value)
