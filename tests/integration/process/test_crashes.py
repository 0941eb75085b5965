"""Kill what runs processes at every named moment, or put it to sleep: nothing is lost and nothing happens twice."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from eventstore.moments import CRASHED
from eventstore.postgres import checkout
from eventstore.postgres.tasks import Agenda, insert_tasks
from eventstore.process.runner import Runner
from eventstore.task import Kind, Task
from tests.faults.history import History, check
from tests.integration.process.children import child
from tests.integration.process.conftest import QUICK, Shop
from tests.integration.process.outside import CALLS, app
from tests.stack.waiting import eventually

MOMENTS = ("process.before_commit", "process.after_commit", "task.claimed", "task.carried_out", "task.crossed_off")
ORDERS = ("order-1", "order-2", "order-3")


async def is_right(shop: Shop) -> bool:
    """Tell whether every order has come to its end and nothing waits."""
    ends = {"order-paid", "order-cancelled"}
    waiting = sum(count for (_, state), count in (await shop.tasks()).items() if state == "waiting")
    return all([ends & set(await shop.types(each)) for each in ORDERS]) and not waiting


async def is_billed(shop: Shop) -> bool:
    """Tell whether every order has its bill."""
    return all([await shop.types(f"bill-{each}") == ["payment-requested"] for each in ORDERS])


async def history(shop: Shop, paid: Sequence[str]) -> History:
    """Give what was to happen, and what did: an event's version is its place in the list of what is to happen to its stream."""
    wanted: dict[str, list[str]] = {}
    for each in ORDERS:
        wanted[each] = ["order-placed", "order-paid" if each in paid else "order-cancelled"]
        wanted[f"bill-{each}"] = ["payment-requested", *(["payment-received"] if each in paid else [])]
    applied = {
        stream: [types.index(each) + 1 if each in types else 99 for each in await shop.types(stream)]
        for stream, types in wanted.items()
    }
    return History({stream: range(1, len(types) + 1) for stream, types in wanted.items()}, applied)


async def crash(shop: Shop, dsn: str, moment: str) -> None:
    """Let a runner die at *moment*, and its leases run out."""
    async with child(dsn=dsn, REFOLD_FAIL_AT=moment) as killed:
        _, told = await killed.communicate()
        assert killed.returncode == CRASHED, told.decode()
    await shop.expire()


@pytest.mark.parametrize("moment", MOMENTS)
async def test_killed(shop: Shop, postgres_dsn: str, moment: str) -> None:
    """A runner killed at any moment, while it bills and again while it ends orders, leaves the rest to the next one."""
    paid = ORDERS[:2]
    await shop.place(*ORDERS)
    await crash(shop, postgres_dsn, moment)
    await shop.runs(lambda: is_billed(shop), "the bills")
    await shop.pay(*paid)
    await shop.hurry("order-3")
    await crash(shop, postgres_dsn, moment)
    await shop.runs(lambda: is_right(shop), "the orders' ends")
    assert check(await history(shop, paid)) == []


@pytest.mark.parametrize("moment", ["process.before_commit", "process.after_commit", "task.claimed"])
async def test_zombie(shop: Shop, postgres_dsn: str, tmp_path: Path, moment: str) -> None:
    """A runner that sleeps through its lease and wakes beside its successor writes nothing twice."""
    await shop.place(*ORDERS)
    asleep = tmp_path / "asleep"
    patience = {"REFOLD_POSTGRES_IDLE_IN_TRANSACTION_S": "0.5"}  # one that sleeps within a transaction is ended by the server
    async with child(dsn=postgres_dsn, REFOLD_PAUSE_AT=f"{moment}:{asleep}", **patience) as zombie:

        async def sleeps() -> bool:
            return asleep.exists()

        await eventually(sleeps, "the runner to fall asleep")
        await shop.expire()
        await shop.runs(lambda: is_billed(shop), "the successor to bill")
        zombie.send_signal(signal.SIGCONT)
        await shop.pay(*ORDERS)
        await eventually(lambda: is_right(shop), "the orders' ends")
        zombie.send_signal(signal.SIGTERM)
        assert await zombie.wait() == 0
    assert check(await history(shop, ORDERS)) == []


async def test_begins_nothing_late(shop: Shop, postgres_dsn: str, tmp_path: Path) -> None:
    """A runner that wakes after its lease doesn't make the call that it had not begun, which a person has given up meanwhile."""
    asleep, calls = tmp_path / "asleep", tmp_path / "calls"
    calls.touch()
    task = Task(uuid4(), Kind.CALL, "outside", {}, repeatable=False)
    async with checkout(shop.store.engine) as connection:
        await insert_tasks(connection, [task])
    chosen = {"REFOLD_PAUSE_AT": f"task.claimed:{asleep}", CALLS: str(calls)}
    async with child("--app", "tests.integration.process.outside:app", dsn=postgres_dsn, **chosen) as zombie:

        async def sleeps() -> bool:
            return asleep.exists() and bool(
                await shop.ask("SELECT FROM eventstore.task WHERE lease_until < clock_timestamp()")  # it has slept too long
            )

        await eventually(sleeps, "the runner to sleep through its lease")
        await Runner(shop.store, app, QUICK).drain()
        [failed] = await Agenda(shop.store.engine).list("failed")
        assert failed["reason"].startswith("OutcomeUnknown")
        await Agenda(shop.store.engine).skip(task.id)
        zombie.send_signal(signal.SIGCONT)
        zombie.send_signal(signal.SIGTERM)
        assert await zombie.wait() == 0
    assert calls.read_text("utf-8") == ""


async def test_event_before_timeout(shop: Shop, postgres_dsn: str, tmp_path: Path) -> None:
    """An event that could be read before a timeout fell due is reacted to first, also when it came after the runner had looked."""
    await shop.place("order-1")

    async def billed() -> bool:
        return await shop.types("bill-order-1") == ["payment-requested"]

    await shop.runs(billed, "the bill")
    asleep = tmp_path / "asleep"
    async with child(dsn=postgres_dsn, REFOLD_PAUSE_AT=f"process.read:{asleep}") as runner:

        async def sleeps() -> bool:
            return asleep.exists()

        async def readable() -> bool:
            return await shop.store.count() == 3

        async def ended() -> bool:
            return len(await shop.types("order-1")) == 2

        await eventually(sleeps, "the runner to have read what there was")
        await shop.pay("order-1")
        await eventually(readable, "the payment to be readable")
        await shop.hurry("order-1")
        runner.send_signal(signal.SIGCONT)
        await eventually(ended, "the order's end")
    assert await shop.types("order-1") == ["order-placed", "order-paid"]


async def test_two_at_once(shop: Shop, postgres_dsn: str) -> None:
    """Two runners share the work, each process has one owner, and every command is handled once."""
    await shop.place(*ORDERS)
    async with child(dsn=postgres_dsn) as first, child(dsn=postgres_dsn) as second:
        for each in (first, second):
            assert each.stderr is not None
            assert b"running processes" in await each.stderr.readline()
        await eventually(lambda: is_billed(shop), "the bills")
        await shop.pay(*ORDERS)
        await eventually(lambda: is_right(shop), "the orders' ends")
        for each in (first, second):
            each.send_signal(signal.SIGTERM)
            assert await each.wait() == 0
    assert check(await history(shop, ORDERS)) == []
    assert len(await shop.ask("SELECT FROM eventstore.process")) == 1
