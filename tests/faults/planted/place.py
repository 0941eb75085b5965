"""Where a planted bug is let loose: servers, the bank, and what a bug replaces."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from eventstore.postgres import PostgresEventStore
from eventstore.postgres.engine import checkout
from projections.control.generation import Generation
from projections.feeding.pipeline import Pipeline
from projections.feeding.supervisor import make_live
from projections.feeding.worker import name_topics
from tests.bank.log import Ledger, Log
from tests.bank.oracle import expect
from tests.bank.records import TOPIC, TOPICS, lay_out
from tests.bank.release1 import bank
from tests.bank.runs import Runs
from tests.faults.history import History

PARTITIONS = 2


@dataclass
class Place:
    """One run's servers and choices; a bug changes *pipeline* or a design, or patches the real code."""

    runs: Runs
    ledger: Ledger
    patch: pytest.MonkeyPatch
    topics: list[str]
    folder: Path
    pipeline: type[Pipeline] = Pipeline
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    @asynccontextmanager
    async def log(self) -> AsyncIterator[Log]:
        """Open the events topic."""
        self.use_topic()
        async with Log.open(self.runs.kafka) as log:
            yield log

    def use_topic(self) -> None:
        """Have the events topic deleted at the end."""
        if self.runs.kafka.events_topic not in self.topics:
            self.topics.append(self.runs.kafka.events_topic)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[PostgresEventStore]:
        """Open the store."""
        async with PostgresEventStore.open(engine=self.runs.engine) as store:
            yield store

    @asynccontextmanager
    async def hands(self) -> AsyncIterator["Hands"]:
        """Make a live generation of the bank that is fed by hand."""
        generation = await make_live(self.runs.engine, bank.projection, "code", {TOPIC: PARTITIONS}, "test")
        async with AsyncExitStack() as stack:
            yield Hands(self, generation, stack)

    @asynccontextmanager
    async def hands_on_log(self) -> AsyncIterator[tuple[Generation, Callable[[], Awaitable[Pipeline]]]]:
        """Make a live generation of the bank on the real topic, and give what makes pipelines of it."""
        kafka = self.runs.kafka
        generation = await make_live(self.runs.engine, bank.projection, "code", {kafka.events_topic: kafka.partitions}, "test")
        async with AsyncExitStack() as stack:

            async def join() -> Pipeline:
                connection = await stack.enter_async_context(checkout(self.runs.engine))
                topics = name_topics(bank.projection, kafka)
                return self.pipeline(bank.projection, generation, topics, connection, exclusive=False)

            yield generation, join


class Hands:
    """Pipelines on one generation, fed with the ledger's events record by record, without Kafka."""

    def __init__(self, place: Place, generation: Generation, stack: AsyncExitStack) -> None:
        self.place = place
        self.generation = generation
        self._stack = stack
        self._log = lay_out(place.ledger.events, PARTITIONS)

    async def join(self, kind: type[Pipeline], partitions: Any = range(PARTITIONS)) -> Pipeline:
        """Let a worker of *kind* take *partitions* over."""
        connection = await self._stack.enter_async_context(checkout(self.place.runs.engine))
        pipeline = kind(bank.projection, self.generation, TOPICS, connection, exclusive=False)
        await pipeline.claim([(TOPIC, each) for each in partitions], "test")
        return pipeline

    async def feed(self, pipeline: Pipeline, count: int = 10**6) -> None:
        """Give it the next *count* records of each of its partitions."""
        batch = {each: self._log[each[1]][held.next_offset :][:count] for each, held in pipeline.held.items()}
        await pipeline.apply({each: records for each, records in batch.items() if records}, {})

    async def history(self) -> History:
        """Give what the read model says."""
        rows, expected = await self.place.runs.rows(self.generation), expect(self.place.ledger.events)
        recorded, applied = ({stream: row["versions"] for stream, row in each["trail"].items()} for each in (expected, rows))
        return History(recorded, applied, found=rows, expected=expected)


Scenario = Callable[[Place], Awaitable[set[str]]]
"""A run, and the kinds of violations in it; REFUSED stands for right work that the code under test would not do."""
REFUSED = "REFUSED"


@dataclass(frozen=True)
class Bug:
    """A wrong variant: what it does, the run that shows it, how it is planted, and of which kinds one must be found."""

    name: str
    does: str
    scenario: Scenario
    plant: Callable[[Place], None]
    found: frozenset[str]
