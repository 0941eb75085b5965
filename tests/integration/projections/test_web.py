"""Read models in a web app: real HTTP, a real server, the bank's real rows."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from starlette.responses import JSONResponse

from eventstore import PostgresSettings, event
from eventstore.errors import UsageError
from eventstore.postgres import PostgresEventStore, open_engine
from eventstore.relay.relay import Relay
from projections import Projection, Projections
from projections.serving import Bookmark, ReadModels
from projections.web import Policy, everybody, read_session
from replay.cutover import swap, wait_for_workers
from tests.bank import release1, totals
from tests.bank.oracle import expect
from tests.bank.service import make_service
from tests.bank.web import make_app
from tests.stack.proxy import Fault
from tests.stack.serving import served
from tests.stack.waiting import eventually

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TYPE = "application/problem+json"


@event("web-test-paid")
class Paid:
    cents: int


@dataclass(slots=True)
class Account:
    tenant: str
    account: str
    cents: int = 0


private = Projection("bank")
accounts = private.table(Account, key="account", tenant="tenant")


@accounts.on(Paid)
def pay(event, row, envelope):
    row = row or Account(envelope.tenant, envelope.stream.partition("/")[2])
    row.cents += event.cents
    return row


def cents_of(events, worth=int) -> int:
    return sum(each["cents"] for each in expect(events, worth)["balance"].values())


@pytest.fixture
def models(engine, kafka):
    return ReadModels(engine, release1.app, kafka=kafka)


async def move_pointer(runs) -> int:
    """Swap to the retired generation, which nothing feeds, and give its number."""
    target = next(each for each in await runs.generations() if each.state == "retired")
    await swap(runs.engine, target, wait_for_workers(runs.engine, target), action="swap", grace_s=900, limit_s=60, detail={})
    return target.number


async def test_reads_own_writes(runs, log, ledger, models):
    """After a write the next read of the same client waits until the row is there, by cookie or by header, over several writes."""
    await log.write(ledger.some(50))
    async with runs.worker(release1.app), served(make_app(models, wait_s=60)) as client:
        await runs.current()
        first, second = ledger.move("account-1", 1000), ledger.move("account-2", 500)
        for each in (first, second):
            answer = await client.post("/write", content=str(each.token))
        assert answer.headers["set-cookie"].endswith("; Max-Age=60; Path=/; HttpOnly; SameSite=Lax")
        both = Bookmark.parse(answer.headers["refold-token"])
        assert both == await models.bookmark(first.token, second.token)
        assert both == Bookmark.parse(client.cookies["refold_token"].strip('"'))
        async with httpx.AsyncClient(base_url=client.base_url, timeout=60, headers={"Refold-Token": str(both)}) as program:
            async with httpx.AsyncClient(base_url=client.base_url, timeout=60) as stranger:
                waiting = [asyncio.create_task(each.get("/total")) for each in (client, program)]
                assert (await stranger.get("/total")).json()["cents"] == cents_of(ledger.events[:-2])
                assert not any(each.done() for each in waiting)
            await log.write([first, second])
            for each in waiting:
                assert (await each).json()["cents"] == cents_of(ledger.events)


async def test_late(runs, log, ledger, models):
    """What the read model does not get in time is a 503 that says when to ask again, or the rows there are where the app prefers them."""
    await log.write(ledger.some(20))
    await runs.serve(release1.app)
    async with served(make_app(models, wait_s=0.1)) as client:
        await client.post("/write", content=str(ledger.move("account-1").token))
        answer = await client.get("/total")
        assert (answer.status_code, answer.headers["content-type"], answer.headers["retry-after"]) == (503, TYPE, "1")
        assert answer.headers["cache-control"] == "no-store"
        told = answer.json()
        assert (told["type"], told["status"], told["instance"], told["behind"]) == ("urn:refold:late", 503, "/total", ["bank"])
        assert "recorded" in told["detail"]
        assert "account-1" not in answer.text
        stale = await client.get("/late")
        assert (stale.status_code, stale.headers["refold-stale"], "etag" in stale.headers) == (200, "true", False)
        assert (await client.get("/total", headers={"Refold-Token": "nonsense"})).json()["type"] == "urn:refold:bad-request"
        client.cookies.set("refold_token", "nonsense", domain="127.0.0.1")
        client.cookies.clear()
        assert (await client.get("/total", headers={"Cookie": "refold_token=nonsense"})).status_code == 200


async def test_unchanged(runs, log, ledger, models):
    """An answer is sent again only if rows, build, release or whoever asks are others: events, repairs and swaps change the ETag."""
    await log.write(ledger.some(50))
    await runs.serve(release1.app)
    app = make_app(models)
    async with served(app) as client:
        tags = []

        async def changes(**headers):
            answer = await client.get("/total", headers={"If-None-Match": ", ".join(('"other"', *tags)), **headers})
            assert answer.status_code in (200, 304)
            tags.append(answer.headers["etag"])
            assert (answer.status_code, len(set(tags)) == len(tags)) in {(200, True), (304, False)}
            if answer.status_code == 304:
                assert (answer.content, answer.headers["refold-generation"]) == (b"", tags and "bank=1")
                tags.pop()
            return answer.status_code == 200

        assert await changes()
        assert not await changes()
        assert app.state.bank.asked == 1, "the second was answered without its handler"
        assert "accept-language" in (await client.get("/total")).headers["vary"]
        assert await changes(Cookie="who=bob")
        assert not await changes(Cookie="who=bob; refold_token=0:1.1")
        assert await changes(Authorization="Bearer x")
        await log.write([ledger.move("account-1")])
        await runs.serve(release1.app)
        assert await changes()
        await runs.query("UPDATE rm_bank_g1.kind_total SET total = total + 1")
        assert (await runs.replay("repair", "--projection", "bank", "kind=fee")).facts["changed"] == 1
        assert await changes()
        assert not await changes()
        assert (await runs.rebuild(release=2)).code == 0
        assert await changes()
    async with served(make_app(models, Policy(release="r2"))) as client:
        assert await changes()
        assert "etag" not in (await client.get("/always")).headers
        assert "etag" not in (await client.post("/write", content=str(ledger.events[0].token))).headers


async def test_one_generation(runs, log, ledger, models):
    """A request that is under way when a swap comes reads on from the generation that it began with; the next one reads the new."""
    await log.write(ledger.some(50))
    await runs.serve(release1.app)
    assert (await runs.rebuild(release=2)).code == 0
    app = make_app(models)
    async with served(app) as client:
        waiting = asyncio.create_task(client.get("/twice"))
        await app.state.bank.paused.wait()
        assert await move_pointer(runs) == 1
        assert (await client.get("/total")).json() == {"cents": cents_of(ledger.events), "generation": 1}
        app.state.bank.go_on.set()
        answer = await waiting
        assert answer.json() == [{"cents": cents_of(ledger.events, abs), "generation": 2}] * 2
        assert answer.headers["refold-generation"] == "bank=2"


async def test_past(runs, log, ledger, models):
    """A time in the past is read by header or query from the build that stands there, if the app lets this request."""
    early = ledger.some(40)
    await log.write_at(early, NOON.replace(hour=11))
    await log.write_at(ledger.some(30), NOON)
    await runs.serve(release1.app)
    assert (await runs.rebuild("--until", "2026-01-01T12:00:00Z")).code == 0
    then = {"cents": cents_of(early), "generation": 2}
    async with served(make_app(models, Policy(as_of=lambda request: request.headers.get("x-role") == "auditor"))) as client:
        auditor = {"X-Role": "auditor"}
        for query, headers in (("?as_of=2026-01-01T12:00:00Z", {}), ("", {"Refold-As-Of": "2026-01-01T13:00:00+01:00"})):
            assert (await client.get(f"/total{query}", headers=auditor | headers)).json() == then
            refused = await client.get(f"/total{query}", headers=headers)
            assert (refused.status_code, refused.json()["type"]) == (403, "urn:refold:forbidden")
        missing = await client.get("/total?as_of=2025-01-01T00:00:00Z", headers=auditor)
        assert (missing.status_code, missing.json()["type"]) == (404, "urn:refold:no-such-generation")
        assert "--until" in missing.json()["detail"]
        for wrong in ("yesterday", "2026-01-01T12:00:00"):
            assert (await client.get("/total", params={"as_of": wrong}, headers=auditor)).status_code == 400
    async with served(make_app(models)) as client:
        assert (await client.get("/total?as_of=of-the-app-itself")).status_code == 200
        assert (await client.get("/total", headers={"Refold-As-Of": "2026-01-01T12:00:00Z"})).status_code == 403


async def test_preview(runs, log, ledger, models):
    """A build that is not live yet is read by its number, if the app lets this request; everybody else sees the live one."""
    await log.write(ledger.some(40))
    await runs.serve(release1.app)
    assert (await runs.rebuild("--no-swap", release=2)).facts["state"] == "verified"
    wish = {"Refold-Generation": "bank=2"}

    async def ask(request):
        return request.headers.get("x-role") == "tester"

    async with served(make_app(models, Policy(preview=ask, release="r1"))) as client:
        tester = {"X-Role": "tester"}
        seen = await client.get("/total", headers=tester | wish)
        assert seen.json() == {"cents": cents_of(ledger.events, abs), "generation": 2}
        live = await client.get("/total", headers=tester)
        assert live.json() == {"cents": cents_of(ledger.events), "generation": 1}
        assert seen.headers["etag"] != live.headers["etag"]
        assert (await client.get("/total", headers=wish)).status_code == 403
        for wrong, status in (("bank=9", 404), ("bank=one", 400), ("bakn=2", 400)):
            assert (await client.get("/total", headers=tester | {"Refold-Generation": wrong})).status_code == status
    async with served(make_app(models)) as client:
        assert (await client.get("/total", headers=wish)).json()["type"] == "urn:refold:forbidden"


async def test_tenants(runs, log, engine, kafka):
    """Each request sees the rows of the tenant that the app names for it; without one it is the app's mistake, and no row is shown."""
    await runs.query("SELECT eventstore.settle_roles_v1()")
    app = Projections(private)
    async with PostgresEventStore.open(engine=engine) as store:
        for tenant, cents in (("acme", 1), ("globex", 1000)):
            await store.tenant(tenant).append("account-1", [Paid(cents)])

        async def readable() -> bool:
            return await store.count() == 2

        await eventually(readable, "both events are readable", 60)
        await Relay(engine, kafka).drain()
    async with runs.worker(app):
        await runs.current()

    def find_tenant(request):
        return request.headers.get("x-tenant")

    models = ReadModels(engine, app, kafka=kafka)
    web = make_app(models, Policy(tenant=find_tenant, release="r1"))

    async def sums(request):
        session = await read_session(request)
        return JSONResponse([list(each) for each in await session.execute(sa.select(accounts.table))])

    web.add_route("/accounts", sums)
    async with served(web) as client:
        answers = {each: await client.get("/accounts", headers={"X-Tenant": each}) for each in ("acme", "globex", "*")}
        assert answers["acme"].json() == [["acme", "account-1", 1]]
        assert answers["globex"].json() == [["globex", "account-1", 1000]]
        assert len(answers["*"].json()) == 2
        assert len({each.headers["etag"] for each in answers.values()}) == 3
        assert (await client.get("/accounts")).status_code == 500
        assert (await client.get("/accounts", headers={"X-Tenant": "acme"})).json() == answers["acme"].json()


async def test_problems(runs, log, ledger, models, engine):
    """What a client can do something about is a problem with its reason; a fault of the app stays a 500; both give the connection back."""
    async with served(make_app(models)) as client:
        early = await client.get("/total")
        assert (early.status_code, early.json()["type"], early.json()["missing"]) == (503, "urn:refold:not-live", ["bank"])
        await log.write(ledger.some(10))
        await runs.serve(release1.app)
        second = await client.get("/fail/second")
        assert (second.status_code, second.json()["type"]) == (409, "urn:refold:wrong-expected-version")
        assert (second.json()["version"], "load it" in second.json()["detail"]) == (2, True)
        for how in ("held", "broken"):
            assert (await client.get(f"/fail/{how}")).status_code == 500
        assert engine.pool.checkedout() == 0


async def test_server_away(runs, log, ledger, kafka, postgres_dsn, proxy):
    """A server that goes away, amidst a request too, is a 503 that names no server and no login; when it is back, so are the pages."""
    await log.write(ledger.some(10))
    await runs.serve(release1.app)
    parts = urlsplit(postgres_dsn)
    between = await proxy(parts.hostname, parts.port)
    dsn = SecretStr(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{between.address}").geturl())
    engine = open_engine(PostgresSettings(dsn=dsn, pool_size=2))
    app = make_app(ReadModels(engine, release1.app, kafka=kafka))

    async def is_hidden(answer):
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:refold:unreachable"), answer.text
        assert (answer.headers["retry-after"], answer.json()["title"]) == ("1", "A server does not answer")
        assert not [each for each in (parts.path[1:], f"{parts.username}@", "127.0.0.1", "PostgreSQL") if each in answer.text]

    async with served(app) as client:
        assert (await client.get("/total")).status_code == 200
        waiting = asyncio.create_task(client.get("/twice"))
        await app.state.bank.paused.wait()
        between.break_by(Fault.REFUSE)
        between.reset()
        app.state.bank.go_on.set()
        await is_hidden(await waiting)
        await is_hidden(await client.get("/total"))
        between.heal()
        assert (await client.get("/total")).status_code == 200
        held = [await engine.connect() for _ in range(2)]
        engine.pool._timeout = 0.1
        await is_hidden(await client.get("/total"))
        for each in held:
            await each.close()
        assert (await client.get("/total")).status_code == 200
    await engine.dispose()


async def test_some_projections(runs, log, ledger, engine, kafka):
    """A request may wait for some projections only; it can't ask for more of them once its snapshot is taken."""
    await log.write(ledger.some(20))
    await runs.serve(release1.app)
    both = Projections(*release1.app, *totals.app)
    ours = ReadModels(engine, both, kafka=kafka)
    async with runs.worker(totals.app):

        async def is_live() -> bool:
            return (await runs.query("SELECT count(*) AS n FROM projections.pointer WHERE generation IS NOT NULL"))[0]["n"] == 2

        await eventually(is_live, "both are live", 60)
    async with served(make_app(ours, wait_s=0.1)) as client:
        assert (await client.get("/narrow")).json()["cents"] == cents_of(ledger.events)
        assert (await client.get("/wide")).status_code == 500
        late = ledger.move("account-1")
        await log.write([late])
        await runs.serve(release1.app)
        await client.post("/write", content=str(late.token))
        assert (await client.get("/narrow")).json()["cents"] == cents_of(ledger.events)
        assert (await client.get("/total")).json()["behind"] == ["totals"]


async def test_session_ends(runs, log, ledger, models, engine):
    """The session ends with the answer: a stream reads from it to its end, what runs afterwards is told to open its own."""
    await log.write(ledger.some(30))
    await runs.serve(release1.app)
    app = make_app(models)
    async with served(app) as client:
        assert set((await client.get("/stream")).text.split()) == set(expect(ledger.events)["balance"])
        await asyncio.wait_for(app.state.bank.paused.wait(), 60)
        [error] = app.state.bank.background
        assert isinstance(error, UsageError)
        assert "ReadModels.session()" in str(error)
        assert engine.pool.checkedout() == 0


async def test_fastapi(runs, log, ledger, models):
    """FastAPI takes the same functions as dependencies: one session for all of a request, 304 and problems as elsewhere."""
    await log.write(ledger.some(30))
    await runs.serve(release1.app)
    async with served(make_service(models, Policy(release="r1", as_of=everybody), wait_s=0.1)) as client:
        answer = await client.get("/total")
        assert answer.json() == {"cents": cents_of(ledger.events), "generation": 1, "same": True}
        again = await client.get("/total", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await client.get("/total?as_of=nonsense")).headers["content-type"] == TYPE
        await client.post("/write", json=str(ledger.move("account-1").token))
        late = await client.get("/total")
        assert (late.status_code, late.json()["type"]) == (503, "urn:refold:late")
        assert "/total" in (await client.get("/openapi.json")).json()["paths"]


async def test_forged_tokens(runs, log, ledger, models):
    """With a key a token of this app is waited for; an invented one is refused at once, in a cookie passed over, and opens no session."""
    await log.write(ledger.some(20))
    await runs.serve(release1.app)
    never = Bookmark.parse("0:9999999999.9999999999")
    async with served(make_app(models, wait_s=60, token_keys=SecretStr("new,old"))) as client:
        answer = await client.post("/write", content=str(ledger.events[-1].token))
        assert (await client.get("/total")).json()["cents"] == cents_of(ledger.events)
        own = {"Refold-Token": answer.headers["refold-token"]}
        client.cookies.clear()
        assert (await client.get("/total", headers=own)).status_code == 200
        refused = await client.get("/total", headers={"Refold-Token": str(never)})
        assert (refused.status_code, refused.json()["type"]) == (400, "urn:refold:bad-request")
        assert (await client.get("/total", headers={"Cookie": f"refold_token={never}"})).status_code == 200
    async with served(make_app(models, wait_s=60, token_keys=SecretStr("newest,new"))) as client:
        assert (await client.get("/total", headers=own)).status_code == 200, "a key that was changed is known for a while"
