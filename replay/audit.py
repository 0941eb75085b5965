"""The audit in words: who moved which generation where, and what is to be known of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def tell_move(row: Mapping[str, Any]) -> str:
    """Put one row of the audit into a line, and what it says of the move below it."""
    origin = f"g{row['from_generation']} -> " if row["from_generation"] and row["from_generation"] != row["to_generation"] else ""
    line = (
        f"{row['at']:%Y-%m-%d %H:%M:%S}  {row['projection']}  {row['action']}  {origin}g{row['to_generation']}  by {row['actor']}"
    )
    return "\n".join([line, *(f"    {each}" for each in tell_detail(row["detail"]))])


def tell_detail(detail: Mapping[str, Any]) -> list[str]:
    """Give what the *detail* of a row says beyond the move: why, what was accepted, what the comparison found, what it was about."""
    lines: list[str] = []
    if "why" in detail:
        lines.append(f"why: {detail['why']}")
    if "record" in detail:
        lines.append(f"record: {detail['record']} ({detail.get('reason')})")
    if "what" in detail:
        facts = {name: value for name, value in detail.items() if name in {"rows", "changed", "created", "deleted"}}
        lines.append(f"{detail['what']}: {', '.join(f'{name} {value:,}' for name, value in facts.items())}")
    lines += [f"{effect} of event {event}: {reason or 'no reason'}" for effect, event, reason in detail.get("effects", ())]
    if "records" in detail:
        lines.append(f"built from {detail['records']:,} records, {detail.get('rate', 0):,} a second")
    lines += detail.get("verification", [])
    if detail.get("accepted"):
        lines.append(f"accepted beforehand: {', '.join(detail['accepted'])}")
    if detail.get("parked"):
        lines.append(f"although {detail['parked']:,} records are parked in it")
    return lines
