"""What a change means: streams, ids and refusals, without any server."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc import CapturedTable, Change
from cdc.change import Origin
from cdc.translate import Translation, Translations
from eventstore.envelope import RawEvent
from eventstore.errors import UsageError

TABLE = CapturedTable("crm", "public.customer")
SOURCE = Origin({"lsn": 20, "txId": 7, "ts_us": 1_700_000_000_000_000, "snapshot": None, "db": "crm"})


def change(op="c", key=(1,), order=(10, 20), **row):
    """Make a change."""
    return Change(
        op,
        "public.customer",
        key,
        None,
        None if op == "d" else {"id": key[0] if key else 0, **row},
        SOURCE,
        order,
        ("id",) * len(key),
    )


def declare(**options):
    """Make a translation of inserted rows into two events."""
    made = Translation("customers", TABLE, **{"stream": "customer-{id}", **options})
    made.on("c", "r")(lambda _: [RawEvent("came", {}), RawEvent("lives", {})])
    made.on("d")(lambda _: RawEvent("left", {}))
    return made


def ids(translation, given_change):
    """Give the ids of a change's events."""
    return [each.id for each in translation.translate(given_change)[1]]


@given(st.integers(1, 2**60), st.integers(), st.sampled_from("crd"))
def test_ids(place, key, op):
    """The same change gives the same ids, whatever the position of the commit before it; every other change gives others."""
    translation, one = declare(), change(op, (key,), (1, place))
    assert ids(translation, one) == ids(translation, change(op, (key,), (place, place)))
    others = (
        change(op, (key + 1,), (1, place)),
        change(op, (key,), (1, place + 1)),
        change("d" if op == "c" else "c", (key,), (1, place)),
    )
    assert not any({*ids(translation, one)} & {*ids(translation, each)} for each in others)
    assert len({*ids(translation, one)}) == len(ids(translation, one))
    assert all(each.version == 8 and each.int >> 80 == 1_700_000_000_000 for each in ids(translation, one))


def test_streams():
    """A stream's name is a format over the key's columns, or a function."""
    assert declare().translate(change(key=(7,)))[0] == "customer-7"
    assert declare(stream=lambda each: f"c/{each.row['name']}").translate(change(name="ada"))[0] == "c/ada"
    with pytest.raises(UsageError, match="names 'code', but the key of"):
        declare(stream="customer-{code}").translate(change())


def test_nothing_to_say():
    """Kinds without a function, and functions that give None, make no events."""
    silent = Translation("silent", TABLE, stream="x")
    silent.on("c")(lambda _: None)
    assert silent.translate(change())[1] == silent.translate(change("u"))[1] == []


def test_generators():
    """A function may yield its events."""
    translation = Translation("several", TABLE, stream="x-{id}")

    @translation.on("c")
    def came(_):
        yield RawEvent("one", {})
        yield RawEvent("two", {})

    assert [each.event.type for each in translation.translate(change())[1]] == ["one", "two"]


def test_without_key():
    """Changes of a table without a primary key can't be told apart, so they are refused."""
    with pytest.raises(UsageError, match="no primary key"):
        declare(stream=lambda _: "x").translate(replace(change(), key=(), key_names=()))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Translation("Customers", TABLE, stream="x"),
        lambda: Translation("customers", TABLE, stream="x", start="sometime"),
        lambda: declare().on("c"),
        lambda: declare().on("x"),
        lambda: declare().on(),
        lambda: Translations(declare(), declare()),
    ],
)
def test_refused(wrong):
    """Malformed names and kinds, and a kind that is declared twice, are refused where they are declared."""
    with pytest.raises(UsageError):
        wrong()
