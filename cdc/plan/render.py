"""A plan as text: what is added, changed and removed, from what to what, and why."""

from __future__ import annotations

from collections.abc import Iterator

from cdc.plan.step import Change, Plan, Step

_SHOWN_OPTIONS = 8


def render_plan(plan: Plan, *, whole: bool = False) -> str:
    """Draw *plan*; *whole* shows every option of a connector that is to be created."""
    lines = [f"{plan.connector}: {_sum_up(plan)}"]
    place = ""
    for step in plan.steps:
        if step.place != place:
            place = step.place
            lines.append(f"  {place}")
        lines += (f"    {line}" for line in _draw_step(step, whole=whole))
    lines += (f"  {finding.severity}: {finding}" for finding in plan.findings)
    return "\n".join(lines)


def _sum_up(plan: Plan) -> str:
    if not plan.pending:
        return "nothing to do"
    counted = ((plan.count("+"), "to add"), (plan.count("~"), "to change"), (plan.count("-"), "to remove"))
    return ", ".join(f"{number} {word}" for number, word in counted)


def _draw_step(step: Step, *, whole: bool) -> Iterator[str]:
    by = " (by the connector)" if step.action == "wait" else ""
    yield f"{step.sign} {step.thing} {step.name}{by}: {step.reason}"
    shown = step.changes if whole or step.sign != "+" else step.changes[:_SHOWN_OPTIONS]
    for change in shown:
        yield f"    {_draw_change(change)}"
    if len(shown) < len(step.changes):
        yield f"    … {len(step.changes) - len(shown)} more, which --all shows"
    if step.statement:
        yield f"    {step.statement};"


def _draw_change(change: Change) -> str:
    sign = "+" if change.old is None else "-" if change.new is None else "~"
    values = [_show(each) for each in (change.old, change.new) if each is not None]
    warning = "! " if change.effect in ("values", "identity") else ""
    reason = f"  ({warning}{change.reason})" if change.reason else ""
    return f"{sign} {change.name}  {' -> '.join(values)}{reason}"


def _show(value: str) -> str:
    return f'"{value}"'
