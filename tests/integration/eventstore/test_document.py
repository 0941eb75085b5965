"""The document of an event, written by SQL for Debezium: the same bytes as the relay writes."""

from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import NewEvent, Position, PostgresSettings, RawEvent
from eventstore.log.wire import compose
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.postgres.pages import Wanted, read_page

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
traces = st.dictionaries(
    st.sampled_from(["traceparent", "tracestate", "correlationid", "causationid", "other"]), text | st.integers(0, 9)
)
events = st.builds(
    NewEvent,
    st.builds(RawEvent, text.filter(bool), st.dictionaries(text, values, max_size=4)),
    metadata=traces,
    occurred_at=st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants naive bounds
    tags=st.frozensets(text.filter(bool), max_size=3),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(written=st.lists(events, min_size=20, max_size=40), stream=text.filter(bool), source=text.filter(bool))
async def test_same_bytes(
    engine: AsyncEngine, settings: PostgresSettings, written: list[NewEvent], stream: str, source: str
) -> None:
    """For whatever can be recorded, document_v1 gives exactly what `compose` gives."""
    async with PostgresEventStore.open(settings, engine=engine) as store:
        token = await store.append(stream, written)
    async with checkout(engine) as connection:
        query = "SELECT version, eventstore.document_v1(e, %s) FROM eventstore.event AS e WHERE stream = %s"
        documents = dict(await (await connection.execute(query, (source, stream))).fetchall())
    after = Position(token.position.xid, token.position.sequence - len(written))
    rows = []
    while not rows:  # other writers of the server may hold ordered readers back for a moment
        rows = await read_page(engine, after, Wanted("no-topic", 1000, 1 << 30))
    assert len(rows) >= len(written)
    for row in rows:
        if row[0] == stream:
            assert documents[row[1]] == compose(row[:12], source).decode()
