"""A sink that is away: rows go on, its copy falls behind, says by how much, and catches up by itself, whatever dies meanwhile."""

import asyncio
import contextlib

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from eventstore.moments import CRASHED
from projections.copies.contract import Address
from projections.copies.valkey import Keys, open_client
from projections.feeding.health import judge_life, judge_readiness
from projections.serving import ReadModels, Sinks
from projections.settings import SinkSettings
from projections.web import Policy, ReadModelMiddleware, read_session
from replay.cli import main
from tests.bank import release17
from tests.bank.oracle import expect
from tests.bank.places import expected
from tests.bank.release17 import app
from tests.bank.runs import QUICK, ended
from tests.stack.proxy import Fault
from tests.stack.serving import served
from tests.stack.waiting import eventually


@pytest.fixture
async def between(places, proxy, valkey_url, monkeypatch):
    """Give what stands between workers and Valkey; the sinks that the test itself looks at are reached directly."""
    host, _, port = valkey_url.removeprefix("valkey://").partition(":")
    made = await proxy(host, int(port.partition("/")[0]))
    monkeypatch.setenv("REFOLD_SINKS_TIMEOUT_S", "2")
    monkeypatch.setenv("REFOLD_SINKS_BEHIND_S", "0")
    monkeypatch.setenv("REFOLD_SINKS_VALKEY_URL", f"valkey://{made.address}")
    return made


def cut(between):
    between.break_by(Fault.REFUSE)
    between.reset()


async def sinks(runs):
    """Give what status says of each copy of the live generation."""
    told = await runs.projections("status", "--json", "--interval", "0.1")
    return {each["sink"]: each for each in told.facts[0]["sinks"]}


async def level(runs):
    async def is_level():
        return {each["state"] for each in (await sinks(runs)).values()} == {"level"}

    await eventually(is_level, "every copy is level with its table", 60)


async def test_goes_on(runs, log, ledger, places, between):
    """While a sink is away rows are applied and read; its copy says by how much it is behind, and is level again once the sink is back."""
    await log.write(ledger.some(60))
    async with runs.worker(app) as supervisor:
        await runs.current(60)
        assert judge_readiness(supervisor, QUICK)[0]
        cut(between)
        for _ in range(3):
            await log.write(ledger.some(40))
            await runs.current(60)
        assert await runs.rows() == expect(ledger.events)

        async def says():
            return any(
                "the copy valkey:balance has been behind" in each for each in judge_readiness(supervisor, QUICK)[1]["complaints"]
            )

        await eventually(says, "readiness names the copy that is behind", 60)
        assert judge_life(supervisor, QUICK)[0], "a restart would not help"
        told = await sinks(runs)
        assert told["valkey:balance"]["behind_rows"] > 0
        assert told["valkey:balance"]["behind_s"] > 0
        assert (told["search:balance"]["state"], told["search:balance"]["behind_rows"]) == ("level", 0)
        between.heal()
        await level(runs)
        assert await places.rows() == expected(ledger.events)
        assert await eventually(lambda: _ready(supervisor), "readiness comes back", 60)
        await log.write(ledger.some(30))
        await runs.current(60)
        assert await places.rows() == expected(ledger.events)


async def _ready(supervisor):
    return judge_readiness(supervisor, QUICK)[0]


async def test_away_from_the_start(runs, log, ledger, places, between):
    """A projection whose sink is away when its worker starts goes on too, and the copy is filled when the sink answers."""
    cut(between)
    await log.write(ledger.some(60))
    async with runs.worker(app):
        await runs.current(60)
        assert await runs.rows() == expect(ledger.events)
        between.heal()
        await level(runs)
    assert await places.rows() == expected(ledger.events)


@pytest.mark.parametrize("moment", ["copy.before_paying", "copy.paid"])
async def test_killed_while_paying(runs, log, ledger, places, between, moment):
    """A worker that dies while its copy catches up leaves what is still owed to the next one, and a copy that lost more is filled anew."""
    await log.write(ledger.some(60))
    async with runs.worker(app):
        await runs.current(60)
        cut(between)
        await log.write([*ledger.some(40), ledger.move("ada", 3)])
        await runs.current(60)
    between.heal()
    worker = runs.child("projections", "run", release=17, REFOLD_FAIL_AT=moment)
    async with ended(worker):
        said = (await asyncio.to_thread(worker.communicate))[0]
        assert worker.returncode == CRASHED, said
    await runs.evict()
    if moment == "copy.paid":
        client = open_client(SinkSettings())
        keys = Keys(SinkSettings().valkey_prefix, Address.of(await places.live(), "balance"))
        await client.unlink(keys.meta, keys.all, keys.row("ada"))
        await client.aclose()
    async with runs.worker(app):
        await runs.current(60)
        await level(runs)
        assert await places.rows() == expected(ledger.events)


async def test_repair_meanwhile(runs, log, ledger, places, between):
    """Rows that are repaired while a sink is away reach its copy too when it is back."""
    await log.write(ledger.some(60))
    async with runs.worker(app):
        await runs.current(60)
        wrong = next(iter(expect(ledger.events)["balance"]))
        await runs.query("UPDATE rm_bank_g1.balance SET cents = 123456 WHERE account = %s", wrong)
        cut(between)
        done = await runs.replay("repair", "--projection", "bank", f"account={wrong}", "--table", "balance", release=17)
        assert (done.code, done.facts["changed"]) == (0, 1), done.err
        between.heal()
        await log.write([ledger.move("zoe", 1)])
        await runs.current(60)
        await level(runs)
    assert await places.rows() == expected(ledger.events)


def make_app(runs, sinks):
    """Make a web app that shows ada's balance as the copy in Valkey has it."""

    async def ada(request):
        row = await (await sinks.read(release17.balances, await read_session(request))).get("ada")
        return PlainTextResponse(str(row and row.cents))

    models = ReadModels(runs.engine, app, kafka=runs.kafka)
    web = Starlette(middleware=[Middleware(ReadModelMiddleware, models=models, policy=Policy(release="r1"))])
    web.add_route("/ada", ada)
    return web


async def test_pages_of_late_copies(runs, log, ledger, places, between, valkey_url):
    """A page that was made of a copy which was behind, or was put back, has another ETag once the copy is level, though no event came."""
    direct = SinkSettings(valkey_url=SecretStr(valkey_url))
    async with runs.worker(app), Sinks(runs.engine, settings=direct) as reader, served(make_app(runs, reader)) as browser:
        await log.write([ledger.move("ada", 5)])
        await runs.current(60)
        cut(between)
        await log.write([ledger.move("ada", 7)])
        await runs.current(60)
        late = await browser.get("/ada")
        assert late.text == "5"
        between.heal()
        await level(runs)
        fresh = await browser.get("/ada", headers={"If-None-Match": late.headers["etag"]})
        assert (fresh.status_code, fresh.text) == (200, "12")
        again = await browser.get("/ada", headers={"If-None-Match": fresh.headers["etag"]})
        assert again.status_code == 304


async def test_server_that_evicts(runs, log, ledger, places, valkey_server_factory, monkeypatch):
    """A server that throws rows away when it is full holds no copy: status says so and what to set, and the copy is filled after that."""
    server = valkey_server_factory()
    monkeypatch.setenv("REFOLD_SINKS_VALKEY_URL", server.connection_url)
    client = open_client(SinkSettings())
    await client.config_set("maxmemory", "64mb")
    await client.config_set("maxmemory-policy", "allkeys-lru")
    await log.write(ledger.some(60))
    async with contextlib.aclosing(client), runs.worker(app):
        await runs.current(60)
        said = (await sinks(runs))["valkey:balance"]["state"]
        assert "maxmemory-policy allkeys-lru" in said
        assert "set maxmemory-policy noeviction" in said
        await client.config_set("maxmemory-policy", "noeviction")
        await level(runs)
        assert await places.rows() == expected(ledger.events)


async def test_rolls_back_while_away(runs, log, ledger, places, between):
    """A rollback is done and says so, though a sink is away or --app names nothing: it would be undone by whoever ran it again."""
    await log.write(ledger.some(20))
    await runs.serve(app)
    assert (await runs.rebuild(release=18)).code == 0
    cut(between)
    done = await runs.program(main, "rollback", "--projection", "bank", "--app", "tests.nowhere:app", "--json")
    assert (done.code, done.facts["generation"]) == (0, 1), done.err
    assert "bank g1 is live, but readers of a sink" in done.err
    between.heal()
    async with runs.worker(app):

        async def moved():
            return await places.pointed(await places.live()) == {1}

        await eventually(moved, "workers move the pointers", 60)
