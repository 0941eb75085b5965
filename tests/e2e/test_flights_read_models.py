"""Two days of the flights example on real servers: what the web app answers, and that the oracle would notice."""

import os
from datetime import date
from pathlib import Path

import httpx
import psycopg
import pytest

from compose.settings import SERVERS
from compose.state import VARIABLES
from examples.flights import operations, oracle
from examples.flights.audit import current_operations
from examples.flights.children import Children
from examples.flights.history import midnight
from examples.flights.live import Clock, day_of, play
from examples.flights.show import Show
from examples.flights.stage import Stage
from examples.flights.story import CONNECTOR, Story

FIRST, LAST = date(2013, 2, 8), date(2013, 2, 9)
END = midnight(date(2013, 2, 11))
RENAME = operations.Change("", "UPDATE airlines SET name = 'Renamed' WHERE carrier = 'B6'")


@pytest.fixture(scope="module")
def environment(stack, databases, tmp_path_factory):
    """Give the variables of a corner of the session's servers, with the example's databases in it."""
    known = stack.up(*SERVERS).known
    folder: Path = tmp_path_factory.mktemp("flights")
    names = {each: f"{each}_{os.getpid()}" for each in ("flights", "operations")}
    patch = pytest.MonkeyPatch()
    for server in SERVERS:
        patch.setenv(VARIABLES[server], known[server])
    patch.setenv("REFOLD_POSTGRES_DSN", databases.create(names["flights"]))
    patch.setenv("REFOLD_KAFKA_TOPIC_PREFIX", f"flights-test-{os.getpid()}")
    for name, value in operations.connector_environment(databases.create(names["operations"]), folder).items():
        patch.setenv(name, value)
    operations.create(operations.operations_dsn())
    yield folder
    for name in names.values():
        databases.drop(name)
    patch.undo()


@pytest.fixture(scope="module")
async def story(environment):
    """Give the example with its first day imported, its second played, relay, worker and web app running."""
    children = Children(environment)
    try:
        await children.run("migrate", "eventstore", "migrate")
        await children.run("capture", "cdc", "apply", CONNECTOR)
        async with Stage.open(FIRST, LAST) as stage:
            story = Story(stage, Show(), children, speed=1e6)
            await story.import_archive(FIRST)
            await story.build_first()
            await story.open_web()
            story.go_live()
            await story.finish_day()
            await stage.wait_current()
            yield story
            await story.close()
    finally:
        children.stop_all()
        await children.run("teardown", "cdc", "teardown", "--file", CONNECTOR)


@pytest.fixture
async def web(story):
    """Give a client of the web app."""
    async with httpx.AsyncClient(base_url=story.address) as client:
        yield client


async def rows_of(web, address):
    """Give the rows of an answer."""
    answer = await web.get(address)
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


async def test_equal(story):
    """After import, capture and live play every row of every read model equals the oracle."""
    finding = await story.stage.audit(END, release=1)
    assert finding.differences == []
    assert finding.rows > 30_000


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (
            "rm_punctuality_g1.route",
            "UPDATE {} SET on_time = on_time + 1 WHERE carrier = 'B6' AND dest = 'BOS' AND origin = 'JFK'",
        ),
        ("rm_delays_g1.hourly_weather", "DELETE FROM {} WHERE origin = 'JFK' AND hour = '2013-02-08T12:00:00Z'"),
        (
            "rm_departure_board_g1.departure",
            "UPDATE {} SET arrival = arrival + interval '1 us' WHERE stream = (SELECT min(stream) FROM {} WHERE status = 'arrived')",
        ),
        ("rm_aircraft_g1.aircraft", "INSERT INTO {} SELECT 'NOBODY', 0, 0, 0, 0, 0, NULL, NULL"),
    ],
)
async def test_audit_bites(story, table, change):
    """One wrong value, a missing row or a row too many in any table is found by the audit."""
    with psycopg.connect(os.environ["REFOLD_POSTGRES_DSN"]) as connection:
        connection.execute(f"CREATE TABLE kept AS TABLE {table}")
        assert connection.execute(change.replace("{}", table)).rowcount == 1
        connection.commit()
        finding = await story.stage.audit(END, release=1, patience_s=0)
        connection.execute(f"TRUNCATE {table}")
        connection.execute(f"INSERT INTO {table} TABLE kept")
        connection.execute("DROP TABLE kept")
    assert any(text.startswith(table.rpartition(".")[2]) for text in finding.differences)


async def test_names_joined(story, web):
    """Punctuality shows each airline's and airport's current name, none for an airport that is missing, and a new one after a change."""
    operations.apply(operations.operations_dsn(), RENAME)
    assert (await story.stage.audit(END, release=1)).differences == []
    current = current_operations(operations.operations_dsn())
    wanted = oracle.expected(story.stage.facts, current, release=1)
    joined = wanted["route"].merge(wanted["airline_name"].rename(columns={"name": "airline"}), how="left", on="carrier")
    places = wanted["airport_name"].rename(columns={"name": "destination", "airport": "dest"})
    joined = joined.merge(places, how="left", on="dest").sort_values(oracle.KEYS["route"])
    found = oracle.pd.DataFrame(await rows_of(web, "/punctuality"))
    assert found.astype(object).where(found.notna(), None).values.tolist() == (
        joined[found.columns].astype(object).where(joined[found.columns].notna(), None).values.tolist()
    )
    assert set(found.loc[found["carrier"] == "B6", "airline"]) == {"Renamed"}
    assert found.loc[found["dest"] == "SJU", "destination"].isna().all()


async def test_weather_joined(story, web):
    """Each hour of delays stands beside that hour's weather, also where there is none."""
    wanted = oracle.expected(story.stage.facts, current_operations(operations.operations_dsn()), release=1)
    joined = wanted["origin_hour"].merge(wanted["hourly_weather"], how="left", on=["origin", "hour"])
    joined = joined[(joined["origin"] == "LGA") & (joined["hour"] >= midnight(LAST))].sort_values("hour")
    found = oracle.pd.DataFrame(await rows_of(web, f"/delays?origin=LGA&day={LAST}"))
    found["hour"] = oracle.pd.to_datetime(found["hour"])
    for column in found.columns:
        assert found[column].tolist() == joined[column].tolist()


async def test_board_page(web):
    """The plain page lists the flights of one airport and day by planned departure, with what became of them."""
    page = (await web.get(f"/?origin=LGA&day={FIRST}")).text
    assert f"Departures LGA, {FIRST}" in page
    assert page.count("cancelled") == sum(
        row["status"] == "cancelled" for row in await rows_of(web, f"/departures?origin=LGA&day={FIRST}")
    )
    times = [line[8:13] for line in page.splitlines() if line.startswith("<tr><td>")]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("address", "status"), [("/departures?day=yesterday", 400), ("/departures?token=nonsense", 400), ("/nothing", 404)]
)
async def test_bad_questions(web, address, status):
    """A question that makes no sense is refused as the asker's mistake."""
    assert (await web.get(address)).status_code == status


async def test_played_twice(story):
    """Playing a day that is recorded already records nothing twice."""
    before = await story.stage.store.count()
    async for _ in play(story.stage.store, day_of(LAST), Clock(midnight(LAST), 1e6)):
        pass
    assert await story.stage.store.count() == before
