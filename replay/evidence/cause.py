"""What explains a row, as plain values for people and programs: its causes, and what joins put into it.

Whoever explains rows holds touches, which are calls that were made or could be; a `Teller` writes them down, with or without values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, cast

from cdc.change import Change
from eventstore.codec import decode, encode
from eventstore.event import fields_of
from replay.evidence.sieve import Place, Touch


@dataclass(frozen=True, slots=True)
class Cause:
    """One event or change that reached a row, what it did, and the row after it, without what joins put into it.

    *effect*: created, changed, unchanged, deleted, parked, skipped or failed.
    """

    topic: str
    partition: int
    offset: int
    position: str | None
    stream: str | None
    version: int | None
    type: str | None
    time: str | None
    data: Any
    handler: str
    effect: str
    row: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Complement:
    """What one join put into a row: from the version of *past* that held at the row's time, which *causes* made.

    *on* are the row's columns by which it was found, *key* and *version* what was found, *until* from when the next version holds. *gives*
    are the columns that the join's function made of it. *note* says why no version was found, or why the function refuses it; *aside*
    are changes of the same lineage that would decide about the row, and have no effect because they are parked or skipped.
    """

    past: str
    on: dict[str, Any]
    key: dict[str, Any] | None
    until: str | None
    version: dict[str, Any] | None
    causes: list[Cause]
    aside: list[Cause]
    function: str
    gives: dict[str, Any] | None
    note: str = ""


@dataclass(slots=True)
class Origin:
    """What explains one row: its *causes*, what *joins* added, the row that they give, and the row that is *stored* in the generation.

    *agrees*: both rows are the same; None = that can't be told, and *obstacle* says why.
    """

    table: str
    key: list[Any]
    causes: list[Cause] = field(default_factory=list[Cause])
    joins: list[Complement] = field(default_factory=list[Complement])
    folded: dict[str, Any] | None = None
    stored: dict[str, Any] | None = None
    agrees: bool | None = None
    obstacle: str = ""


class Teller:
    """Writes down touches and rows; *veiled*: without values, for they may be personal."""

    def __init__(self, *, veiled: bool) -> None:
        self.is_veiled = veiled

    def retell(
        self, touches: Sequence[Touch], left_out: AbstractSet[Place], joined: Sequence[str] = ()
    ) -> tuple[list[Cause], Any]:
        """Apply *touches* one after the other; give what each did, and the row after the last. Columns *joined* are not shown."""
        causes: list[Cause] = []
        row: Any = None
        after = _show(row, joined)
        for touch in touches:
            before, effect = after, name_aside(touch, left_out)
            if not touch.set_aside:
                try:
                    row = touch.apply(row)
                    after = _show(row, joined)
                    effect = _name_effect(before, after)
                except Exception as error:
                    effect = f"failed: {self.excuse(error)}"
            causes.append(self.tell(touch, effect, _show(row, joined)))
        return causes, row

    def tell(self, touch: Touch, effect: str, row: dict[str, Any] | None) -> Cause:
        """Write down one touch."""
        record, document = touch.record, _document(touch)
        body: Any = touch.body
        committed = body.source.committed_at.isoformat() if isinstance(body, Change) else None
        return Cause(
            record.topic,
            record.partition,
            record.offset,
            document.get("position"),
            document.get("subject"),
            document.get("streamversion"),
            document.get("type"),
            document.get("time") if committed is None else committed,
            self.veil(_plain(body)),
            name_function(touch.function),
            effect,
            self.veil(row),
        )

    def veil(self, values: Any) -> Any:
        """Give *values* as they may be shown."""
        if not self.is_veiled or values is None:
            return values
        return dict.fromkeys(values, "(withheld)") if isinstance(values, dict) else "(withheld)"  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    def excuse(self, error: Exception) -> str:
        """Say what was raised, without its words where they may quote what is withheld."""
        return type(error).__name__ if self.is_veiled else f"{type(error).__name__}: {error}"


def name_function(function: Any) -> str:
    """Give module, name and line of a function."""
    return f"{function.__module__}:{function.__qualname__}:{function.__code__.co_firstlineno}"


def name_aside(touch: Touch, left_out: AbstractSet[Place]) -> str:
    """Say what became of a touch that had no effect."""
    record = touch.record
    return "skipped" if (record.topic, record.partition, record.offset) in left_out else "parked"


def _show(row: Any, joined: Sequence[str]) -> dict[str, Any] | None:
    return None if row is None else {name: value for name, value in dataclasses.asdict(row).items() if name not in joined}


def _name_effect(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    """Say what a touch did to a row."""
    if before == after:
        return "unchanged"
    return "created" if before is None else "deleted" if after is None else "changed"


def _document(touch: Touch) -> dict[str, Any]:
    try:
        found = decode(touch.record.value or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "specversion" in found else {}  # pyright: ignore[reportUnknownVariableType]


def _plain(body: Any) -> Any:
    """Write what a handler got: an event as it is, of a change what became of which row."""
    if not isinstance(body, Change):
        return decode(encode(fields_of(body)))
    change = cast("Change[dict[str, Any]]", body)
    facts: dict[str, Any] = {"op": change.op, **dict(zip(change.key_names, change.key, strict=False)), **(change.after or {})}
    if change.swept:
        facts["swept"] = change.swept
    return {name: _write(value) for name, value in facts.items()}


def _write(value: Any) -> Any:
    try:
        return decode(encode(value))
    except TypeError:
        return str(value)
