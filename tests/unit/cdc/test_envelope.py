"""The schema prefix is trusted only where it is one complete schema."""

from __future__ import annotations

import pytest

from cdc.change.envelope import Splitter
from eventstore.errors import UndecodableRecord


@pytest.fixture
def seen():
    """Collect the schemas that were prepared."""
    return []


@pytest.fixture
def splitter(seen):
    """Make a splitter that gives the schema's number as plan."""

    def prepare(schema):
        seen.append(schema)
        return len(seen)

    return Splitter(prepare)


def test_prepares_once(splitter, seen):
    """Records of one schema prepare it once, whatever their payload."""
    plans = [splitter.split(b'{"schema":{"a":1},"payload":%d}' % number) for number in range(5)]
    assert plans == [(1, number) for number in range(5)]
    assert seen == [{"a": 1}]


def test_alternating_schemas(splitter, seen):
    """Two schemas in turn are prepared once each."""
    documents = [b'{"schema":{"a":1},"payload":1}', b'{"schema":{"a":2},"payload":2}'] * 3
    assert [splitter.split(document) for document in documents] == [(1, 1), (2, 2)] * 3
    assert len(seen) == 2


def test_prefix_of_another(splitter):
    """A schema whose text begins like another's is not taken for it."""
    assert splitter.split(b'{"schema":{"a":1},"payload":{"b":1}}') == (1, {"b": 1})
    assert splitter.split(b'{"schema":{"a":1,"payload":2},"payload":3}') == (2, 3)
    assert splitter.split(b'{"schema":{"a":1,"payload":2},"payload":4}') == (2, 4)


def test_default_that_looks_like_a_payload(splitter):
    """A column default that holds the words of a payload does not end the schema early."""
    document = rb'{"schema":{"default":"x\",\"payload\":1"},"payload":9}'
    assert splitter.split(document) == splitter.split(document) == (1, 9)


def test_other_order_and_spaces(splitter):
    """Other key orders and spaces are read as well."""
    assert splitter.split(b'{"payload":1,"schema":{"a":1}}') == (1, 1)
    assert splitter.split(b'{ "schema": {"a": 1}, "payload": 2 }')[1] == 2


@pytest.mark.parametrize("tail", [b"1]", b"1}}", b'1,"more":2}x', b"", b"}"])
def test_known_prefix_with_wrong_rest(splitter, tail):
    """After a known prefix a malformed rest is still refused."""
    splitter.split(b'{"schema":{"a":1},"payload":1}')
    with pytest.raises(UndecodableRecord):
        splitter.split(b'{"schema":{"a":1},"payload":' + tail)


def test_forgets_old_schemas(splitter, seen):
    """More schemas than are kept push out the oldest, and it is prepared again when it returns."""
    for number in range(40):
        splitter.split(b'{"schema":{"a":%d},"payload":1}' % number)
    assert splitter.split(b'{"schema":{"a":0},"payload":7}') == (41, 7)
    assert splitter.split(b'{"schema":{"a":39},"payload":8}') == (40, 8)
