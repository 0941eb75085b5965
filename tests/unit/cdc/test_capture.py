"""A captured table as a projection's source."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cdc import CapturedTable
from eventstore.errors import UsageError
from eventstore.settings import KafkaSettings
from eventstore.source import Source

TABLE = CapturedTable("t1", "inv.plain")


def test_is_a_source():
    """A captured table satisfies the protocol, named by connector and table, with one message name."""
    source: Source = TABLE
    assert (source.name, list(source.messages)) == ("cdc:t1:inv.plain", ["inv.plain"])


def test_topic():
    """The topic follows prefix and connector, with what Kafka does not allow replaced as Debezium does."""
    settings = KafkaSettings(topic_prefix="shop")
    assert TABLE.topic(settings) == "shop.t1.inv.plain"
    assert CapturedTable("t1", "inv.Order Lines").topic(settings) == "shop.t1.inv.Order_Lines"


def test_reads_messages(captured):
    """A record becomes a message named after the table, keyed by the primary key; a tombstone becomes nothing."""
    read = TABLE.reader(frozenset({"inv.plain"}))
    messages = [read(record) for record in captured("envelope-with-schema", "inv.plain")]
    first = messages[0]
    assert (first.name, first.key, first.body.op) == ("inv.plain", (1,), "r")
    assert TABLE.detail(first.body, first.raw) is first.body
    assert None in messages


def test_passes_over_unwanted(captured):
    """A reader that does not want the table decodes nothing."""
    read = TABLE.reader(frozenset({"inv.other"}))
    assert {read(record) for record in captured("envelope-with-schema", "inv.plain")} == {None}


def test_needs_schema():
    """A table without its schema is refused with how to write it."""
    with pytest.raises(UsageError, match=r"write public\.plain"):
        CapturedTable("t1", "plain")


def test_loads_no_driver():
    """Importing cdc loads neither an HTTP client nor a database or Kafka driver."""
    program = "import sys, cdc; print(sorted({'httpx', 'psycopg', 'sqlalchemy', 'aiokafka'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"
