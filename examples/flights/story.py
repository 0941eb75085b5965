"""The demo's story, step by step. Each method is one step; `demo` puts them in order and cleans up whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections import defaultdict
from datetime import date, timedelta
from typing import Any

import httpx

from examples.flights import operations
from examples.flights.archive import import_days
from examples.flights.children import Children
from examples.flights.oracle import KEYS
from examples.flights.player import Player, StoryFailed, ask
from examples.flights.show import Show
from examples.flights.stage import Stage

CONNECTOR = str(operations.HERE / "connector.toml")
RELEASE1, RELEASE2 = ("--app", "examples.flights.release1:app"), ("--app", "examples.flights.release2:app")
OnTime = dict[str, tuple[int, int]]
"""Flights on time and flights planned, by airline."""


class Story:
    """One run. *stage* is where it plays, *show* tells it, *children* are the programs it drives."""

    def __init__(self, stage: Stage, show: Show, children: Children, speed: float) -> None:
        self.stage, self.show, self.children = stage, show, children
        self.day = stage.played_day
        self._web = httpx.AsyncClient(timeout=10)
        self._player = Player(stage.store, stage.played_day, speed, self._web)

    @property
    def address(self) -> str:
        """Where the web app listens, once it does."""
        return str(self._web.base_url)

    async def import_archive(self, first: date) -> None:
        """Import all days but the last, while the relay publishes them."""
        self.children.start("relay", "eventstore", "relay")
        last = self.day - timedelta(days=1)
        with self.show.step(f"Import the flights from {first} to {last}; the relay follows") as step:
            begun = time.monotonic()
            expected = 3 * int((self.stage.facts["day"].dt.date < self.day).sum())

            def told(count: int, day: date) -> None:
                step.progress(count, expected, f"up to {day}, {count / (time.monotonic() - begun):,.0f} events/s")

            done = await import_days(self.stage.store, first, last, told)
            seconds = time.monotonic() - begun
            step.note(f"{done.recorded:,} events, {done.recorded / seconds:,.0f}/s")

    async def build_first(self) -> None:
        """Start the worker of release 1, which makes the first generation of each projection and feeds it all there is."""
        with self.show.step("A worker builds the read models of release 1") as step:
            begun = time.monotonic()
            self.children.start("worker-release1", "projections", "run", *RELEASE1)
            await self.stage.wait_live(self.children.check)
            await self.stage.wait_current()
            projections = len(self.stage.projections)
            events = await self.stage.store.count()
            rate = projections * events / (time.monotonic() - begun)
            step.note(f"{projections} projections of {events:,} events, {rate:,.0f}/s")

    async def audit(self, when: str, release: int) -> None:
        """Hold every row against the oracle; the played day stands still meanwhile."""
        with self.show.step(f"Oracle {when}: every row of every read model") as step:
            async with self._player.held():
                await self.stage.wait_current(timeout_s=60)
                finding = await self.stage.audit(self._player.until, release)
            if finding.differences:
                raise StoryFailed(f"the read models differ from the oracle {when}:\n" + "\n".join(finding.differences))
            step.note(f"{finding.rows:,} rows of {len(KEYS)} tables are equal")

    async def open_web(self) -> None:
        """Start the web app and a reader that checks every answer until the end."""
        with self.show.step("Start the web app, and a reader that checks every answer"):
            address = f"http://127.0.0.1:{_free_port()}"
            port = address.rpartition(":")[2]
            self.children.start(
                "web", "python", "-m", "uvicorn", "examples.flights.web:app", "--port", port, "--log-level", "warning"
            )
            self._web.base_url = httpx.URL(address)
            await self._wait_for_web()
            self.children.start("poller", "python", "-m", "examples.flights.poller", address, str(self.day))
            self.show.say(f"the board: {address}/?origin=JFK&day={self.day}")

    def go_live(self) -> None:
        """Begin to play the last day."""
        self.show.say(f"{self.day} begins to be played, {self._player.speed:g} times as fast as it was")
        self._player.start()

    async def change_operations(self) -> None:
        """Update, insert and delete rows of the operations database."""
        with self.show.step("The operations department changes its tables; Debezium captures it") as step:
            touched = 0
            for change in operations.changes():
                rows = await asyncio.to_thread(operations.apply, operations.operations_dsn(), change)
                self.show.say(f"{change.why} ({rows} rows)")
                touched += rows
            step.note(f"{touched} rows")

    async def replay(self) -> None:
        """Deploy release 2 beside release 1 and replay the changed projection while everything goes on."""
        self.children.start("worker-release2", "projections", "run", *RELEASE2)
        await self.children.run("plan", "projections", "plan", *RELEASE2)
        with self.show.step("Replay punctuality v2 from the beginning, while events come and pages are read") as step:
            played = self._player.played
            command = ("replay", *RELEASE2, "--projection", "punctuality", "--from-beginning")
            answer = await self.children.run("replay", *command, echo=True)
            self.show.say(answer.strip())
            step.note(f"{self._player.played - played} live events meanwhile")

    async def roll_back(self) -> None:
        """Go back to the first generation, which was fed all the time; the day stands still, so that both can be compared."""
        with self.show.step("Roll back to v1"):
            async with self._player.held():
                await self.stage.wait_current()
                fixed = await self._on_time()
                command = ("replay", "rollback", *RELEASE1, "--projection", "punctuality")
                self.show.say((await self.children.run("rollback", *command)).strip())
                await self._require_version(1)
                self._show_difference(await self._on_time(), fixed)

    async def swap_again(self) -> None:
        """Make version 2 live again."""
        with self.show.step("Swap to v2 again"):
            command = ("replay", "swap", *RELEASE2, "--projection", "punctuality", "--to", "2")
            self.show.say((await self.children.run("swap", *command)).strip())
            await self._require_version(2)

    async def finish_day(self) -> None:
        """Play the day to its end."""
        with self.show.step(f"{self.day} is played to its end") as step:
            await self._player.finish()
            times = sorted(self._player.read_back_ms) or [0.0]
            median, slowest = times[len(times) // 2], times[-1]
            step.note(
                f"{self._player.played:,} events; own writes read back after {median:.0f} ms (median), {slowest:.0f} ms (slowest)"
            )

    def close_web(self) -> None:
        """Ask the reader what it saw. Raises StoryFailed when one answer was wrong."""
        with self.show.step("What the reader saw") as step:
            facts: dict[str, Any] = json.loads(self.children.stop("poller").splitlines()[-1])
            step.note(f"{facts['reads']:,} reads, {facts['wrong']} wrong, slowest {facts['slowest_ms']} ms")
            self.show.say(f"punctuality was read from {' -> '.join(facts['swaps'])}")
            if facts["wrong"]:
                raise StoryFailed("the reader saw what must not be:\n" + "\n".join(facts["violations"]))

    async def close(self) -> None:
        """Stop playing, whatever state it is in."""
        await self._player.stop()
        await self._web.aclose()

    async def _get(self, address: str) -> dict[str, Any]:
        self._player.check()
        return await ask(self._web, address)

    async def _wait_for_web(self) -> None:
        async with asyncio.timeout(30):
            while True:
                self.children.check()
                with contextlib.suppress(httpx.TransportError, StoryFailed):
                    await self._get("/punctuality/total")
                    return
                await asyncio.sleep(0.1)

    async def _require_version(self, version: int) -> None:
        live = (await self._get("/punctuality/total"))["generations"]["punctuality"]
        if live["version"] != version:
            raise StoryFailed(f"readers see punctuality {live}, not version {version}")

    async def _on_time(self) -> OnTime:
        """Give flights on time and flights planned, by the airline's current name."""
        sums: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for row in (await self._get("/punctuality"))["rows"]:
            on_time, planned = sums[row["airline"] or row["carrier"]]
            sums[row["airline"] or row["carrier"]] = on_time + row["on_time"], planned + row["scheduled"]
        return sums

    def _show_difference(self, faulty: OnTime, fixed: OnTime) -> None:
        """Print the airlines that the bug flattered most."""

        def share(sums: OnTime, airline: str) -> float:
            on_time, planned = sums[airline]
            return 100 * on_time / planned

        flattered = sorted(faulty, key=lambda airline: share(fixed, airline) - share(faulty, airline))
        self.show.say(f"{'on time, of all planned flights':<38} {'v1':>7}   {'v2':>7}")
        for airline in flattered[:5]:
            self.show.say(f"{airline:<38} {share(faulty, airline):6.2f} % {share(fixed, airline):6.2f} %")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", int(os.environ.get("FLIGHTS_WEB_PORT", "0"))))
        return listener.getsockname()[1]
