"""Rows that several partitions touch, while the partitions change hands."""

from dataclasses import dataclass

from eventstore.postgres.engine import checkout
from projections import Projection
from projections.control.catalogue import create_generation
from projections.declaration.projection import EVENTS
from projections.feeding.pipeline import Pipeline
from projections.readmodels.postgres import create_indexes, create_tables
from projections.release.fingerprint import fingerprint
from tests.bank.events import MoneyMoved
from tests.properties.projections.test_order import Rec

TOPIC = "t.events"


@dataclass(slots=True)
class Kind:
    kind: str
    events: int = 0


projection = Projection("kinds")
kinds = projection.table(Kind, key="kind")


@kinds.on(MoneyMoved, key=lambda event: event.kind)
def counted(event, row):
    return Kind(event.kind, (row.events if row else 0) + 1)


def make_records(ledger, partition, first, names):
    """Make the records of a partition from offset *first* on, one move of each of the kinds *names*."""
    events = [ledger.move(f"account-{partition}", kind=each) for each in names]
    return {
        (TOPIC, partition): [
            Rec(TOPIC, partition, first + number, 0, each.stream.encode(), each.document()) for number, each in enumerate(events)
        ]
    }


async def test_counts_both(engine, ledger):
    """A worker that had every partition, and has a batch in hand while another one takes a partition, adds to the row that one made."""
    async with checkout(engine) as mine, checkout(engine) as theirs:
        facts = {"projection": projection.name, "slug": projection.slug, "prefix": "t", "version": 1}
        generation = await create_generation(mine, {**facts, "fingerprint": fingerprint(projection), "topics": {TOPIC: 2}})
        async with engine.begin() as making:
            await create_tables(making, projection, generation.schema_name)
            await create_indexes(making, projection, generation.schema_name)
        first, second = (Pipeline(projection, generation, {EVENTS.name: TOPIC}, each, exclusive=False) for each in (mine, theirs))
        await first.claim([(TOPIC, 0), (TOPIC, 1)], "first")
        for offset in range(2):
            await first.apply(make_records(ledger, 0, offset, ["fee"]), {})
        in_hand = make_records(ledger, 0, 2, ["fee", "deposit"])
        await second.claim([(TOPIC, 1)], "second")
        await second.apply(make_records(ledger, 1, 0, ["deposit"]), {})
        await first.apply(in_hand, {})
        found = await (await mine.execute(f"SELECT kind, events FROM {generation.schema_name}.kind ORDER BY 1")).fetchall()
    assert found == [("deposit", 2), ("fee", 3)]
