"""Scenarios of projections: given events, then these rows. Handlers run one by one on plain dictionaries; no Kafka, no database.

    given(("order-1", OrderPlaced("ada", 4_200))).then_rows(totals, Revenue("ada", 4_200))

An event is given alone, or as (stream, event) where the stream's name is the row's key. `eventstore.testing.given_for`, and with it
the fixture `given`, takes a Projection by way of this module.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Self, cast

from eventstore.envelope import Envelope
from eventstore.errors import UsageError
from eventstore.event import registry
from eventstore.identity import make_id
from eventstore.stream import Position
from eventstore.testing.difference import compare, show
from eventstore.testing.scenario import given_for
from projections.declaration.projection import EVENTS, Handler, Projection
from projections.declaration.table import Table

_WHEN = datetime(2026, 1, 1, tzinfo=UTC)
_STREAM = "stream-1"


class Fold:
    """A scenario of a projection, between `given` and `then_rows`."""

    def __init__(self, projection: Projection, events: Sequence[object]) -> None:
        if projection.sql_handlers:
            raise UsageError(
                f"{projection.name} has SQL handlers, which need a database: test them with `projections run` on one"
            )
        self._projection = projection
        self._events = list(events)

    def when(self, event: object) -> Self:
        """Let one more event come."""
        self._events.append(event)
        return self

    def times(self, count: int) -> Self:
        """Let the last event come *count* times in all, as if it had been recorded again."""
        self._events += [self._events[-1]] * (count - 1)
        return self

    def then_rows(self, table: Table[Any], *expected: object) -> Self:
        """Assert the rows of *table*, in whatever order."""
        __tracebackhide__ = True
        found = sorted(self._fold().get(table.name, {}).values(), key=show)
        facts = [f"given: {', '.join(map(show, self._events)) or 'nothing'}"]
        compare(f"the rows of {table.name!r}", sorted(expected, key=show), found, facts)
        return self

    def then_nothing(self) -> Self:
        """Assert that no table has a row."""
        __tracebackhide__ = True
        for each in self._projection.tables:
            self.then_rows(each)
        return self

    def _fold(self) -> dict[str, dict[Any, Any]]:
        rows: dict[str, dict[Any, Any]] = {each.name: {} for each in self._projection.tables}
        for number, given in enumerate(self._events, start=1):
            stream, event = cast("tuple[str, object]", given) if isinstance(given, tuple) else (_STREAM, given)
            self._apply(rows, _envelope(number, stream, event))
        for join in self._projection.joins:
            join.fill(rows[join.table.name].values(), rows[join.past.name].values())
        return rows

    def _apply(self, rows: dict[str, dict[Any, Any]], envelope: Envelope[Any]) -> None:
        for each in self._projection.handlers:
            if each.source is EVENTS and each.message == envelope.type:
                kept = rows[each.table.name]
                key = each.key(envelope.data) if each.key else envelope.stream
                row = _call(each, envelope, copy.deepcopy(kept.get(key)))
                kept.pop(key, None)
                if row is not None:
                    kept[key] = row


def _call(handler: Handler, envelope: Envelope[Any], row: Any) -> Any:
    if handler.spans:
        return handler.function([envelope.data], row, *([[envelope]] if handler.detailed else []))
    return handler.function(envelope.data, row, envelope) if handler.detailed else handler.function(envelope.data, row)


def _envelope(number: int, stream: str, event: object) -> Envelope[Any]:
    kind = registry.of(type(event))
    return Envelope(
        stream=stream,
        version=number,
        position=Position(number, number),
        id=make_id(),
        type=kind.name,
        schema_version=kind.version,
        data=event,
        metadata={},
        occurred_at=_WHEN,
        recorded_at=_WHEN,
    )


@given_for.register
def _(subject: Projection) -> Callable[..., Fold]:
    return lambda *events: Fold(subject, events)
