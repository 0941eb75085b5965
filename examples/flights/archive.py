"""The past, imported: every event of the days before today goes into the store by its own bulk path, in order of event time.

Run it with `python -m examples.flights.archive --last 2013-12-30`. Run it again after a crash and it goes on where it stopped,
since the events' ids are always the same.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date

from eventstore.postgres.bulk import Imported
from eventstore.postgres.store import PostgresEventStore
from examples.flights.data import FIRST_DAY, LAST_DAY, flights, zones
from examples.flights.history import Happening, history

Told = Callable[[int, date], None]
"""Is told now and then how many events have been read, and up to which day."""


async def import_days(store: PostgresEventStore, first: date, last: date, told: Told | None = None) -> Imported:
    """Record all events of the flights from *first* to *last*; those that are recorded already are passed over."""
    happenings = history(flights(first, last), zones())
    return await store.import_events(_watched(happenings, told) if told else happenings)


def _watched(happenings: Iterable[Happening], told: Told, every: int = 10_000) -> Iterator[Happening]:
    for count, happening in enumerate(happenings, 1):
        if count % every == 0 and (instant := happening[1].occurred_at):
            told(count, instant.date())
        yield happening


async def _main(first: date, last: date) -> None:
    begun = time.perf_counter()
    async with PostgresEventStore.open() as store:
        done = await import_days(store, first, last)
    seconds = time.perf_counter() - begun
    print(
        f"{done.recorded:,} events recorded, {done.known:,} were known: {seconds:.1f} s, {done.recorded / seconds:,.0f} a second"
    )


def main() -> None:
    """Read the command line and import."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=date.fromisoformat, default=FIRST_DAY, help="first day of 2013 to import")
    parser.add_argument("--last", type=date.fromisoformat, default=LAST_DAY, help="last day of 2013 to import")
    given = parser.parse_args()
    asyncio.run(_main(given.first, given.last))


if __name__ == "__main__":
    main()
