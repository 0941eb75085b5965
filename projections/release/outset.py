"""Which effects a deploy starts, goes on with and drops, each with the offsets from which its events count.

An effect that has begun keeps its offsets for ever, whatever is deployed; a new one gets them when a live worker of this release meets it
for the first time. One that is gone from the code keeps its place too: what it left open stays, and it goes on there if it comes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from projections.control.checkpoint import Vector, read_seen
from projections.control.generation import Generation
from projections.declaration.effect import BEGINNING, NOW, Effect
from projections.declaration.projection import Projection


@dataclass(slots=True)
class Begun:
    """Where an effect that has begun counts from, what is written down of it, and what is open."""

    first: Vector = field(default_factory=Vector)
    following: Vector = field(default_factory=Vector)
    due: int = 0
    dead: int = 0


async def read_begun(connection: Connection, projection: str) -> dict[str, Begun]:
    """Give every effect of *projection* that ever began, by name."""
    found: dict[str, Begun] = {}
    rows = await (await connection.execute(load("projections", "list_outsets"), {"projection": projection})).fetchall()
    for effect, topic, number, first, following, due, dead in rows:
        begun = found.setdefault(effect, Begun(due=due, dead=dead))
        begun.first[topic, number], begun.following[topic, number] = first, following
    return found


async def foresee_effects(connection: Connection, projection: Projection, live: Generation | None) -> list[dict[str, Any]]:
    """Say of each effect in the code or in the ledger whether it is new, goes on, or is gone, and from which offsets."""
    begun = await read_begun(connection, projection.name)
    seen = await read_seen(connection, live.id) if live is not None else {}
    declared = {each.name: each for each in projection.effects}
    return [
        _describe(name, declared.get(name), begun.get(name), seen)
        for name in [*declared, *(each for each in begun if each not in declared)]
    ]


def _describe(name: str, effect: Effect | None, begun: Begun | None, seen: Vector) -> dict[str, Any]:
    facts: dict[str, Any] = {"effect": name, "events": sorted(effect.kinds) if effect else [], "due": 0, "dead": 0}
    if begun is None:
        assert effect is not None
        start = dict.fromkeys(seen, 0) if effect.begin == BEGINNING else seen if effect.begin == NOW else {}
        return {**facts, "state": "new", "begins": str(effect.begin), "from": _name(start), "next": {}}
    facts |= {"due": begun.due, "dead": begun.dead, "from": _name(begun.first), "next": _name(begun.following)}
    return {**facts, "state": "goes on" if effect else "gone", "begins": "begun"}


def _name(vector: Vector) -> dict[str, int]:
    return {f"{topic}[{number}]": offset for (topic, number), offset in sorted(vector.items())}


def tell_effect(facts: dict[str, Any]) -> str:
    """Put one effect into a line."""
    start = ", ".join(f"{place} {offset}" for place, offset in facts["from"].items())
    if facts["state"] == "new":
        where = {
            NOW: f"what is recorded once a live worker meets it{f'; as of now from {start}' if start else ''}",
            BEGINNING: "every event in the log",
        }.get(facts["begins"], f"what was recorded since {facts['begins']}")
        return f"effect {facts['effect']} is new: {where}"
    open_ = f"; {facts['due']:,} due, {facts['dead']:,} dead" if facts["due"] or facts["dead"] else ""
    if facts["state"] == "gone":
        return f"effect {facts['effect']} is gone: it stops, and its place is kept{open_}"
    following = ", ".join(f"{place} {offset}" for place, offset in facts["next"].items())
    return f"effect {facts['effect']} goes on: begun at {start}, next {following}{open_}"
