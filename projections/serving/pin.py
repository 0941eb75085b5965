"""Reading another generation than the live one: by its number, or the one that a bounded replay built for a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from eventstore.errors import PreconditionFailed
from eventstore.postgres.engine import Connection
from projections.control.catalogue import list_generations
from projections.control.generation import FED, Generation, State
from projections.declaration.registry import Projections

READABLE = frozenset({*FED, State.VERIFIED})


async def pin(
    connection: Connection, app: Projections, numbers: Mapping[str, int], as_of: datetime | None
) -> dict[str, Generation]:
    """Give the generations that *numbers* name, and for the rest of *app* those that stand at *as_of* (None = leave them).

    Raises UsageError for a projection that the app has not, PreconditionFailed for a generation that is not there to be read.
    """
    wanted = {app.named(name).name: number for name, number in numbers.items()}
    found: dict[str, Generation] = {}
    for each in app:
        known = [g for g in await list_generations(connection, each.name) if g.state in READABLE]
        if each.name in wanted:
            found[each.name] = _require(each.name, known, wanted[each.name])
        elif as_of is not None:
            found[each.name] = _require_dated(each.name, known, as_of)
    return found


def _require(name: str, known: list[Generation], number: int) -> Generation:
    found = next((each for each in known if each.number == number), None)
    if found is None:
        there = ", ".join(f"g{each.number} {each.state}" for each in known) or "none"
        raise PreconditionFailed(f"{name} has no generation {number} to read (there is: {there})")
    return found


def _require_dated(name: str, known: list[Generation], as_of: datetime) -> Generation:
    time = (as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    found = next((each for each in known if each.detail.get("until", {}).get("time") == time), None)
    if found is None:
        raise PreconditionFailed(
            f"no generation of {name} stands at {time}: make it with `replay --projection {name} --from-beginning --until {time}`"
        )
    return found
