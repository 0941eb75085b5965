"""What a projection's code and tables amount to, in one short hash: equal fingerprints build equal rows from equal events.

It covers the version, the tables' DDL, the defaults and methods of their rows, and for each handler and key function the *meaning*
of its source (`eventstore.meaning`), and so for the upcasters and methods of the events it reads. Libraries are not followed: raise
the version when one of them changes what your rows hold.
"""

from __future__ import annotations

from typing import Any

from eventstore.event import registry as events
from eventstore.meaning import describe_defaults, describe_event, digest, shorten
from projections.declaration.chain import name_events
from projections.declaration.emission import describe_emission
from projections.declaration.join import Join
from projections.declaration.projection import Projection
from projections.declaration.table import Table


def fingerprint(projection: Projection) -> str:
    """Give 12 hex digits. Raises UsageError for nothing: code without source counts by its bytecode."""
    sinks = {"sinks": sorted(each.describe() for each in projection.sinks)} if projection.sinks else {}
    joins = {"joins": [describe_join(each) for each in projection.joins]} if projection.joins else {}
    marks = {"marks": [each.ddl() for each in projection.marks.values()]} if projection.marks else {}
    emissions = {"emissions": [describe_emission(each) for each in projection.emissions]} if projection.emissions else {}
    return shorten(
        {
            "version": projection.version,
            "tables": [_describe_table(each) for each in projection.tables],
            "handlers": sorted(_describe_handlers(projection)),
            "upcasters": _describe_upcasters(projection),
            **joins,
            **marks,
            **sinks,
            **emissions,
            **_describe_sources(projection),
        }
    )


def describe_join(join: Join) -> str:
    """Give what the joined columns depend on beside the rows."""
    return " ".join([join.table.name, join.past.name, *join.on, join.at, *join.sets, digest(join.function)])


def _describe_table(table: Table[Any]) -> list[Any]:
    tenant = [f"tenant {table.tenant}"] if table.tenant else []
    return [*table.ddl(), *tenant, describe_defaults(table.row), digest(table.row)]


def _describe_handlers(projection: Projection) -> list[str]:
    return [
        " ".join([each.source.name, each.message, each.table.name, digest(each.function), digest(each.key) if each.key else ""])
        for each in projection.handlers
    ] + [
        " ".join([each.source.name, each.message, f"sql {number} {each.batch}", digest(each.function)])
        for number, each in enumerate(projection.sql_handlers)
    ]


def _describe_sources(projection: Projection) -> dict[str, Any]:
    """Give the topics that only effects need, since a generation counts them; what effects do changes no row."""
    folded = {each.source.name for each in projection.all_handlers}
    more = sorted({each.source.name for each in projection.effects} - folded)
    return {"sources": more} if more else {}


def _describe_upcasters(projection: Projection) -> dict[str, Any]:
    wanted = name_events(projection)
    return {each.name: describe_event(each) for each in events if each.name in wanted}
