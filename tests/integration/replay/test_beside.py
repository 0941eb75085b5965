"""A build of captured tables in two processes: each table with all its partitions in one of them."""

import asyncio
import json
from random import Random

from eventstore.log.producer import TransactionalProducer
from eventstore.log.topics import ensure_topic
from tests.bank.runs import ended
from tests.shop.shelves import GOODS, PRICES

ARGV = ("--projection", "shelves", "--from-beginning", "--json", "--processes", "2")
TYPES = {"kind": "string"}
TOPICS = {GOODS: 2, PRICES: 1}


def compose(table, op, place, before, after):
    """Write key and value of one change as Debezium does; a truncate has neither key nor row."""
    row = after or before or {}
    fields = [{"type": TYPES.get(each, "int32"), "optional": True, "field": each} for each in row]
    source = {"ts_us": 1_700_000_000_000_000 + place, "ts_ms": 1, "sequence": json.dumps([str(place), str(place)]), "txId": place}
    source |= {"schema": "public", "table": table.table.partition(".")[2], "lsn": place, "snapshot": None, "db": "shop"}
    schema = [{"type": "struct", "fields": fields, "field": side} for side in ("before", "after")]
    payload = {"op": op, "before": before, "after": after, "source": source, "transaction": None}
    value = {"schema": {"type": "struct", "fields": schema}, "payload": payload}
    if not row:
        return None, json.dumps(value).encode()
    key = {"schema": {"type": "struct", "fields": fields[:1]}, "payload": dict([next(iter(row.items()))])}
    return json.dumps(key).encode(), json.dumps(value).encode()


class Shop:
    """The two captured tables as they are, and the records of how they came to be."""

    def __init__(self, seed):
        self._random = Random(seed)
        self.rows = {GOODS: {}, PRICES: {}}
        self.records = {GOODS: [], PRICES: []}
        self._place = 1_000

    def change(self, table, make):
        """Add, change or take away one row, which *make* gives by its key."""
        key = self._random.randrange(30)
        before = self.rows[table].get(key)
        after = None if before and self._random.random() < 0.3 else make(key, self._random)
        self._note(table, "c" if before is None else "u" if after else "d", key, before, after)
        self.rows[table] = (
            {**self.rows[table], key: after} if after else {k: row for k, row in self.rows[table].items() if k != key}
        )

    def truncate(self, table):
        """Take all rows away at once."""
        self._note(table, "t", 0, None, None)
        self.rows[table] = {}

    def _note(self, table, op, key, before, after):
        self._place += 8
        self.records[table].append((key % TOPICS[table], *compose(table, op, self._place, before, after), 0))


def make_good(key, random):
    return {"id": key, "kind": f"k{key % 4}", "price": random.randrange(100)}


def make_price(key, random):
    return {"item": key, "cents": random.randrange(100)}


async def test_builds_beside(runs, kafka, used_topics):
    """Rows, sums over all partitions of a table, and what a truncate took, are the source's, although two processes built them."""
    shop = Shop(7)
    for number in range(300):
        shop.change(GOODS, make_good)
        shop.change(PRICES, make_price)
        if number == 200:
            shop.truncate(GOODS)
    for table, count in TOPICS.items():
        used_topics.append(table.topic(kafka))
        await ensure_topic(kafka, table.topic(kafka), count)
        producer = TransactionalProducer(kafka, table.topic(kafka), f"{kafka.topic_prefix}.{table.table}")
        await producer.start()
        await producer.publish(shop.records[table])
        await producer.close()
    environment = {"REFOLD_PROJECTIONS_APP": "tests.shop.shelves:app", "REFOLD_REPLAY_COMMIT_ROWS": "20"}
    child = runs.child("replay", *ARGV, REFOLD_REPLAY_CACHE_ROWS="1000", **environment)
    async with ended(child):
        said, _ = await asyncio.to_thread(child.communicate)
    assert child.returncode == 0, said
    assert '"pids"' in said, "two processes shared it out"
    goods = await runs.query("SELECT * FROM rm_shelves_g1.good")
    prices = await runs.query("SELECT * FROM rm_shelves_g1.price")
    kinds = await runs.query("SELECT * FROM rm_shelves_g1.kind")
    assert {each["id"]: each for each in goods} == shop.rows[GOODS]
    assert {each["item"]: each for each in prices} == shop.rows[PRICES]
    expected = {}
    for row in shop.rows[GOODS].values():
        count, worth = expected.get(row["kind"], (0, 0))
        expected[row["kind"]] = count + 1, worth + row["price"]
    assert {each["kind"]: (each["goods"], each["worth"]) for each in kinds} == expected
