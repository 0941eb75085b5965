"""Effects on real servers: where they begin, once each whatever is rebuilt and swapped, in order, retried, dead, and at every crash."""

import asyncio
import os
import signal
from typing import NamedTuple

import pytest

from eventstore.moments import CRASHED
from projections.declaration.registry import Projections
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings
from tests.bank import release7, release8
from tests.bank.release7 import LETTERS, REFUSED
from tests.bank.runs import ended
from tests.stack.waiting import eventually

HASTY = ProjectionSettings(look_s=0.05, poll_s=0.05, effect_attempts=3, effect_retry_s=0.05, retry_attempts=50, retry_s=0.05)


class Letter(NamedTuple):
    version: int
    stream: str
    number: int
    key: str
    attempt: int


@pytest.fixture
def letters(tmp_path, monkeypatch):
    """Give what reads the letters that were sent."""
    file = tmp_path / "letters"
    file.touch()
    monkeypatch.setenv(LETTERS, str(file))
    monkeypatch.setenv(REFUSED, "")

    def read():
        found = [line.split() for line in file.read_text("utf-8").splitlines()]
        return [Letter(int(v), stream, int(n), key, int(a)) for v, stream, n, key, a in found]

    return read


async def sent(letters, events):
    """Return once each of *events* has had its letter, and give all letters."""
    wanted = {(each.stream, each.version) for each in events}

    async def all_there():
        return wanted <= {(each.stream, each.number) for each in letters()}

    await eventually(all_there, "every letter is sent", 60)
    return letters()


def require_each_once(found, events):
    """Assert that each of *events* had one letter, in the order of its stream, and nothing else had any."""
    assert sorted((each.stream, each.number) for each in found) == sorted((each.stream, each.version) for each in events)
    for stream in {each.stream for each in found}:
        numbers = [each.number for each in found if each.stream == stream]
        assert numbers == sorted(numbers)


def moves(ledger, count, **more):
    return [ledger.move(f"account-{number % 5}", number, **more) for number in range(count)]


async def begin(runs):
    """Let a worker meet the effect, which begins then."""

    async def begun():
        return len(await runs.query("SELECT 1 FROM projections.effect_vector")) == runs.kafka.partitions

    async with runs.worker(release7.app):
        await eventually(begun, "the effect has begun", 60)


def quiet():
    """Give the same release as it was before it had effects: its rows are the same."""
    bank = release7.declare(7)
    bank.effects.clear()
    return bank


async def test_begins_now(runs, log, ledger, letters):
    """What was recorded before an effect is met has none; what comes later has one each, in the order of its stream, with its own key."""
    await log.write(moves(ledger, 20))
    async with runs.worker(release7.app):
        await runs.current()
        await log.write(later := moves(ledger, 30))
        found = await sent(letters, later)
    require_each_once(found, later)
    assert len({each.key for each in found}) == 30
    done = await runs.query("SELECT state, attempts, outcome FROM projections.effect")
    assert [each["state"] for each in done] == ["done"] * 30
    assert {each["outcome"]["letter"] for each in done} == {each.key for each in found}


async def test_begins_at_the_beginning(runs, log, ledger, letters):
    """An effect that begins at the beginning is carried out for the history too, which is read for it once."""
    await log.write(events := moves(ledger, 40))
    await runs.serve(release7.app)
    async with runs.worker(Projections(release7.declare(7, "beginning"))):
        await runs.current()
    assert letters() == [], "an effect that has begun stays where it began"
    await runs.query("DELETE FROM projections.effect_vector")
    async with runs.worker(Projections(release7.declare(7, "beginning"))):
        require_each_once(await sent(letters, events), events)


async def test_handed_over(runs, log, ledger, letters):
    """A rebuild sends nothing, and through its swap and the rollback every event has one letter, from the release that was live."""
    await log.write(moves(ledger, 20))
    async with runs.worker(release7.app):
        await runs.current()
        await log.write(first := moves(ledger, 20))
        await sent(letters, first)
    await log.write(between := moves(ledger, 20))
    done = await runs.rebuild("--accept-differences", release=8)
    assert done.code == 0, done.err
    assert len(letters()) == 20, "a build has no effects"
    async with runs.worker(release7.app), runs.worker(release8.app):
        await sent(letters, between)
        await log.write(after := moves(ledger, 20))
        await sent(letters, after)
        back = await runs.replay("rollback", "--projection", "bank", release=8)
        assert back.code == 0, back.err
        await log.write(last := moves(ledger, 20))
        found = await sent(letters, last)
    require_each_once(found, [*first, *between, *after, *last])
    assert {each.version for each in found[20:60]} == {8}
    assert {each.version for each in found[:20]} | {each.version for each in found[60:]} == {7}


async def test_retried_then_dead(runs, log, ledger, letters, monkeypatch):
    """A failing effect is tried again with growing pauses, then is dead and holds its stream back, until it is retried or skipped."""
    await begin(runs)
    monkeypatch.setenv(REFUSED, "letters")
    supervisor, stopping = Supervisor(release7.app, runs.engine, kafka=runs.kafka, settings=HASTY), asyncio.Event()
    task = asyncio.create_task(supervisor.run(stopping))
    await runs.current()
    held = [ledger.move("a", kind="lost"), ledger.move("a"), ledger.move("b", kind="lost"), ledger.move("b")]
    await log.write([*held, free := ledger.move("c")])

    async def dead():
        listed = await runs.projections("effects", "list", "--state", "dead", "--json")
        return len(listed.facts) == 2

    await sent(letters, [free])
    await eventually(dead, "two dead effects", 60)
    assert [each.stream for each in letters()] == ["c"]
    listed = (await runs.projections("effects", "--json")).facts
    assert [(each["key"], each["state"], each["attempts"]) for each in listed if each["state"] == "dead"] == [
        (stream, "dead", 3) for stream in sorted({"a", "b"}, key=[each["key"] for each in listed].index)
    ]
    assert all("the post office is closed" in each["reason"] for each in listed if each["state"] == "dead")
    skipped = await runs.projections("effects", "skip", held[2].id, "--projection", "bank", "--why", "moved away", "--json")
    assert skipped.code == 0, skipped.err
    await sent(letters, [held[3]])
    os.environ[REFUSED] = ""
    retried = await runs.projections("effects", "retry", "--all", "--projection", "bank", "--json")
    assert [each["event_id"] for each in retried.facts] == [held[0].id]
    found = await sent(letters, [held[0], held[1]])
    require_each_once(found, [free, held[0], held[1], held[3]])
    assert (await runs.projections("effects", "retry", held[0].id, "--projection", "bank")).code == 3
    stopping.set()
    await task
    audited = await runs.query("SELECT action, detail FROM projections.audit WHERE action LIKE '%%effect' ORDER BY id")
    assert [each["action"] for each in audited] == ["skip-effect", "retry-effect"]
    assert audited[0]["detail"]["why"] == "moved away"


async def test_parked_event(runs, log, ledger, letters, monkeypatch):
    """An event that is parked has its effect when it is applied, and not before."""
    await begin(runs)
    monkeypatch.setenv(REFUSED, "fee")
    supervisor, stopping = Supervisor(release7.app, runs.engine, kafka=runs.kafka, settings=HASTY), asyncio.Event()
    task = asyncio.create_task(supervisor.run(stopping))
    await runs.current()
    events = [ledger.move("a", kind="fee"), ledger.move("a"), ledger.move("b")]
    await log.write(events)
    await sent(letters, events[2:])
    assert [each.stream for each in letters()] == ["b"]
    os.environ[REFUSED] = ""
    require_each_once(await sent(letters, events), events)
    stopping.set()
    await task


@pytest.mark.parametrize(
    ("moment", "most"),
    [
        ("batch.before_commit", 1),
        ("batch.after_commit", 1),
        ("effect.claimed", 1),
        ("effect.carried_out", 2),
        ("effect.crossed_off", 1),
        ("effect.backfilled", 1),
    ],
)
async def test_killed(runs, log, ledger, letters, monkeypatch, moment, most):
    """A worker killed at any moment loses no effect; only one that was carried out and not crossed off comes again, with its key."""
    await begin(runs)
    await log.write(events := moves(ledger, 10))
    if moment == "effect.backfilled":
        await runs.serve(Projections(quiet()))
    monkeypatch.setenv("REFOLD_PROJECTIONS_EFFECT_LEASE_S", "1.5")
    worker = runs.child("projections", "run", release=7, REFOLD_FAIL_AT=moment, REFOLD_PROJECTIONS_EFFECT_TASKS="1")
    async with ended(worker):
        said = (await asyncio.to_thread(worker.communicate))[0]
        assert worker.returncode == CRASHED, said
    await runs.evict()
    async with runs.worker(release7.app):
        found = await sent(letters, events)
    keys = {(each.stream, each.number): each.key for each in found}
    assert len(keys) == len(set(keys.values())) == 10
    assert all(each.key == keys[each.stream, each.number] for each in found)
    assert len(found) == 9 + most


async def test_begins_nothing_late(runs, log, ledger, letters, monkeypatch, tmp_path):
    """A worker that wakes after its lease doesn't carry out the effect that it had not begun, which a person has skipped meanwhile."""
    await begin(runs)
    await log.write([event := ledger.move("a")])
    asleep = tmp_path / "asleep"
    monkeypatch.setenv("REFOLD_PROJECTIONS_EFFECT_LEASE_S", "1.5")
    worker = runs.child("projections", "run", release=7, REFOLD_PAUSE_AT=f"effect.claimed:{asleep}")
    async with ended(worker):

        async def sleeps():
            return asleep.exists() and await runs.query("SELECT 1 FROM projections.effect WHERE lease_until < clock_timestamp()")

        await eventually(sleeps, "the worker sleeps through its lease")
        skipped = await runs.projections("effects", "skip", event.id, "--projection", "bank", "--why", "moved away")
        assert skipped.code == 0, skipped.err
        worker.send_signal(signal.SIGCONT)
        worker.send_signal(signal.SIGTERM)
        await asyncio.to_thread(worker.communicate)
    assert letters() == []


async def test_planned(runs, log, ledger, letters):
    """The plan says from which offsets a new effect would count, where one that has begun stands, and what is left of one that is gone."""
    first = await runs.projections("plan", "--json", "--app", "tests.bank.release7:app")
    [new] = first.facts[0]["effects"]
    assert (new["state"], new["begins"], new["events"], new["from"]) == ("new", "now", ["money-moved"], {})
    await begin(runs)
    await log.write(moves(ledger, 6))
    async with runs.worker(release7.app):
        await sent(letters, ledger.events)
        await runs.current()
    second = await runs.projections("plan", "--json", "--app", "tests.bank.release7:app")
    [kept] = second.facts[0]["effects"]
    assert (kept["state"], set(kept["from"].values()), kept["due"], kept["dead"]) == ("goes on", {0}, 0, 0)
    assert sum(kept["next"].values()) >= 6
    [gone] = (await runs.projections("plan", "--json", "--app", "tests.bank.release1:app")).facts[0]["effects"]
    assert (gone["state"], gone["next"]) == ("gone", kept["next"])
    told = await runs.projections("plan", "--app", "tests.bank.release1:app")
    assert f"bank: effect {gone['effect']} is gone: it stops, and its place is kept" in told.out
