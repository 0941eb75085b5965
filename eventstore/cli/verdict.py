"""A verdict on a recorded schema in words: what breaks, where, what it was and is, and what to do."""

from __future__ import annotations

from eventstore.codec import encode
from eventstore.schema import Break, Verdict
from eventstore.schema.finding import ROOT

_HOW = {
    "new": "new, not recorded yet",
    "same": "as recorded",
    "proved": "can be read: proved",
    "tried": "can be read: tried",
    "refused": "CAN'T BE READ",
}


def describe(verdict: Verdict) -> str:
    """Give one line for a version that can be read, and the reasons below it for one that can't."""
    goal = "" if verdict.newest in (None, verdict.version) else f" -> v{verdict.newest}"
    tried = f" ({verdict.tried} instances)" if verdict.tried else ""
    first = f"{verdict.type} v{verdict.version}{goal}: {_HOW[verdict.how]}{tried}"
    return "\n".join([first, *(_explain(each, verdict) for each in verdict.breaks)])


def _explain(each: Break, verdict: Verdict) -> str:
    lines = [f"  {each.path or ROOT}", f"    why  {each.why}"]
    if each.old or each.new:
        lines += [f"    v{verdict.version}   {each.old or 'nothing'}", f"    now  {each.new or 'nothing'}"]
    if each.example is not None:
        lines.append(f"    e.g. {encode(each.example).decode()}")
    return "\n".join([*lines, f"    do   {each.advice}"])
