"""Arrays in binary form: the server reads what was meant."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import encode
from eventstore.postgres import array
from eventstore.postgres.engine import checkout

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
zones = st.builds(timezone, st.timedeltas(timedelta(hours=-15), timedelta(hours=15)))
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC) | zones)  # noqa: DTZ001 - hypothesis wants naive bounds
QUERY = "SELECT %s::uuid[], %s::text[], %s::integer[], %s::jsonb[], %s::timestamptz[]"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    ids=st.lists(st.none() | st.uuids()),
    names=st.lists(st.none() | texts),
    numbers=st.lists(st.none() | st.integers(-(2**31), 2**31 - 1)),
    documents=st.lists(st.none() | st.dictionaries(texts, texts | st.integers(-(2**63), 2**63 - 1))),
    times=st.lists(st.none() | moments),
)
async def test_there_and_back(
    engine: AsyncEngine,
    ids: list[UUID | None],
    names: list[str | None],
    numbers: list[int | None],
    documents: list[dict[str, object] | None],
    times: list[datetime | None],
) -> None:
    """What was written as elements is what the server has, NULL, empty arrays, every character and every zone included."""
    null = array.NULL
    made = (
        array.UuidArray(null if each is None else array.write_uuid(each) for each in ids),
        array.TextArray(null if each is None else array.write_text(each) for each in names),
        array.IntegerArray(null if each is None else array.write_integer(each) for each in numbers),
        array.JsonbArray(null if each is None else array.write_jsonb(encode(each)) for each in documents),
        array.TimestamptzArray(null if each is None else array.write_moment(each) for each in times),
    )
    async with checkout(engine) as connection:
        assert await (await connection.execute(QUERY, made)).fetchone() == (ids, names, numbers, documents, times)
