"""Health that is true, and what `projections status` tells."""

import asyncio
import json
import time
import urllib.request
from urllib.error import HTTPError

import psycopg
import pytest

from projections.feeding.health import served
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings
from tests.bank.release1 import app
from tests.stack.waiting import eventually

STRICT = ProjectionSettings(look_s=0.05, poll_s=0.05, slow_s=1.5, stuck_s=5.0, health_port=0)
PATIENT = STRICT.model_copy(update={"stuck_s": 600.0})
"""The same, but nobody is dead however long the machine takes from one question to the next."""


def ask(port, path):
    """Give status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


class Served:
    """A worker with its endpoints, strict ones and those of *patient*."""

    def __init__(self, port, patient):
        self.port = port
        self.patient = patient

    async def says(self, path, status):
        """Wait until *path* answers *status*, and give the body."""
        found = {}

        async def right():
            code, body = await asyncio.to_thread(ask, self.port, path)
            found.update(body)
            return code == status

        await eventually(right, f"{path} says {status}")
        return found


@pytest.fixture
async def health(runs, log):
    supervisor = Supervisor(app, runs.engine, kafka=runs.kafka, settings=STRICT)
    stopping = asyncio.Event()
    async with served(supervisor, STRICT) as port, served(supervisor, PATIENT) as patient:
        task = asyncio.create_task(supervisor.run(stopping))
        yield Served(port, patient)
        stopping.set()
        await task


async def test_blocked_database(health, runs, log, ledger):
    """A lock that nobody gives back makes a worker unready, then dead; when it is gone the worker is both again."""
    ready = await health.says("/readyz", 200)
    assert ready["ok"]
    assert ready["workers"][0]["generation"] == "bank g1"
    async with await psycopg.AsyncConnection.connect(runs.dsn) as blocker:
        await blocker.execute("LOCK TABLE projections.checkpoint IN EXCLUSIVE MODE")
        await log.write(ledger.some(10))
        await health.says("/readyz", 503)
        assert (await asyncio.to_thread(ask, health.patient, "/livez"))[0] == 200, "a restart is not asked for at once"
        dead = await health.says("/livez", 503)
        assert any("wait" in each or "hung" in each for each in dead["complaints"]), dead
        blocked = time.monotonic()
    await health.says("/livez", 200)
    await runs.current()
    lively = await health.says("/readyz", 200)
    assert lively["workers"][0]["commit_age_s"] < time.monotonic() - blocked, "it has committed since"


async def test_other_paths(health):
    """Nothing else is served."""
    assert (await asyncio.to_thread(ask, health.port, "/"))[0] == 404


async def test_status(runs, log, ledger):
    """The status tells lag, rates and owners of every partition, also when nobody feeds it."""
    await log.write(ledger.some(100))
    async with runs.worker(app):
        await runs.current()
        [fed] = (await runs.projections("status", "--json", "--interval", "0.1")).facts
        assert (fed["projection"], fed["state"], fed["lag"], fed["current_in_s"]) == ("bank", "live", 0, 0.0)
        assert len(fed["partitions"]) == 4
        assert len(fed["owners"]) == 1
    await log.write(ledger.some(20))
    [left] = (await runs.projections("status", "--json", "--interval", "0.1")).facts
    assert left["lag"] >= 20
    assert left["current_in_s"] is None
    assert "bank g1" in (await runs.projections("status", "--interval", "0.1")).out
