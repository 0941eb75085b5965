"""A reader that never stops looking: it asks the web app all the time, checks every answer, and says at the end what it saw.

    python -m examples.flights.poller http://127.0.0.1:8000 2013-12-31

What must hold of every answer, swaps or not: it comes, without error; sums never go back (a swap that lost or repeated events, or
went back in time, would show); no flight goes back a step; within one generation more flights are never on time than before.
On SIGTERM or SIGINT it prints one JSON document to standard output; exit code 1 if anything was wrong.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx

from eventstore.codec import decode, encode

STEPS = {"scheduled": 0, "departed": 1, "cancelled": 2, "arrived": 2, "diverted": 2}
NEVER_FEWER = ("scheduled", "arrived", "cancelled", "diverted", "delay_minutes")
KEPT = 20
PAUSE_S = 0.03


@dataclass
class Watch:
    """What was seen so far, and what was wrong with it."""

    reads: int = 0
    wrong: int = 0
    slowest_ms: float = 0.0
    swaps: list[str] = field(default_factory=list[str])
    violations: list[str] = field(default_factory=list[str])
    _generation: int = 0
    _totals: dict[str, int] = field(default_factory=dict[str, int])
    _on_time: dict[int, int] = field(default_factory=dict[int, int])
    _steps: dict[str, int] = field(default_factory=dict[str, int])

    def check_totals(self, answer: dict[str, Any]) -> None:
        """Check the sums over all routes."""
        row, live = answer["rows"][0], answer["generations"]["punctuality"]
        for name in NEVER_FEWER:
            if row[name] < self._totals.get(name, 0):
                self.blame(f"{name} went back from {self._totals[name]} to {row[name]} in generation {live['generation']}")
            self._totals[name] = row[name]
        if live["generation"] != self._generation:
            self.swaps.append(f"g{live['generation']} v{live['version']}")
            self._generation = live["generation"]
        if row["on_time"] < self._on_time.get(self._generation, 0):
            self.blame(f"on_time went back to {row['on_time']} within generation {self._generation}")
        self._on_time[self._generation] = row["on_time"]

    def check_routes(self, answer: dict[str, Any]) -> None:
        """Check the rows of one airline: version 2 never has more flights on time than arrived."""
        if answer["generations"]["punctuality"]["version"] >= 2:
            for row in answer["rows"]:
                if row["on_time"] > row["arrived"]:
                    self.blame(f"{row['carrier']} {row['origin']}-{row['dest']}: a row of version 1 among those of version 2")

    def check_board(self, answer: dict[str, Any]) -> None:
        """Check that every flight moves forward only."""
        for row in answer["rows"]:
            step = STEPS[row["status"]]
            if step < self._steps.get(row["stream"], 0):
                self.blame(f"{row['stream']} went back to {row['status']}")
            self._steps[row["stream"]] = step

    def blame(self, text: str) -> None:
        """Note a violation; the first few in words."""
        self.wrong += 1
        if len(self.violations) < KEPT:
            self.violations.append(text)

    def facts(self) -> dict[str, Any]:
        """Give what a reader wants to know at the end."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}


async def watch(client: httpx.AsyncClient, day: str, stopping: asyncio.Event, seen: Watch) -> None:
    """Ask in turns, check every answer, until *stopping*."""
    questions = (
        ("/punctuality/total", seen.check_totals),
        ("/punctuality?carrier=UA", seen.check_routes),
        (f"/departures?origin=JFK&day={day}", seen.check_board),
    )
    while not stopping.is_set():
        for address, check in questions:
            begun = time.perf_counter()
            try:
                answer = await client.get(address)
            except httpx.HTTPError as error:
                seen.blame(f"{address}: {type(error).__name__}: {error}")
                continue
            seen.reads += 1
            seen.slowest_ms = max(seen.slowest_ms, round((time.perf_counter() - begun) * 1000, 1))
            if answer.status_code == 200:
                check(decode(answer.content))
            else:
                seen.blame(f"{address}: {answer.status_code} {answer.text[:200]}")
        await asyncio.sleep(PAUSE_S)


async def _main(address: str, day: str) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    seen = Watch()
    async with httpx.AsyncClient(base_url=address, timeout=10) as client:
        await watch(client, day, stopping, seen)
    print(encode(seen.facts()).decode(), flush=True)
    return 1 if seen.wrong else 0


def main() -> None:
    """Read the command line and watch."""
    sys.exit(asyncio.run(_main(*sys.argv[1:3])))


if __name__ == "__main__":
    main()
