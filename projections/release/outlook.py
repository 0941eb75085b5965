"""What deploying this code would mean for a projection: unchanged, new, needs rebuild, or an additive column, and why."""

from __future__ import annotations

from typing import Any

from eventstore.postgres.engine import Connection
from projections.control.catalogue import find_live
from projections.declaration.projection import Projection
from projections.release.change import describe_parts, judge_change
from projections.release.fingerprint import fingerprint
from projections.release.lint import lint
from projections.release.outset import foresee_effects, tell_effect


async def foresee(connection: Connection, projection: Projection) -> dict[str, Any]:
    """Compare the code of *projection* with its live generation. Changes nothing.

    *changes* is empty where the live generation does not say what it was built from, as those of older releases.
    """
    mine = fingerprint(projection)
    live = await find_live(connection, projection.name)
    verdict, changes = "new", list[str]()
    if live is not None:
        verdict, changes = judge_change(live.detail.get("parts"), describe_parts(projection), same=live.fingerprint == mine)
    return {
        "projection": projection.name,
        "version": projection.version,
        "fingerprint": mine,
        "verdict": verdict,
        "changes": changes,
        "effects": await foresee_effects(connection, projection, live),
        "warnings": [str(each) for each in lint(projection)],
    }


def explain(facts: dict[str, Any]) -> list[str]:
    """Put the changes, effects and warnings of one projection into lines."""
    name = facts["projection"]
    told = [*facts["changes"], *map(tell_effect, facts["effects"]), *(f"warning: {each}" for each in facts["warnings"])]
    return [f"{name}: {each}" for each in told]
