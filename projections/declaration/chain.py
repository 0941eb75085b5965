"""Which projection feeds which: what may emit at all, and the order in which those of an app read from each other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from eventstore.errors import UsageError
from eventstore.log.events import EventSource
from projections.declaration.emission import DerivedSource, Emission
from projections.declaration.projection import EVENTS, Handler, Projection


def find_source(projection: Projection) -> EventSource | None:
    """Give the one source that everything *projection* derives follows from; None = it derives nothing.

    Raises UsageError for tables whose rows may depend on more than one partition's order, and for what must not leave the projection.
    """
    found: dict[str, EventSource] = {}
    for each in projection.emissions:
        mine = [handler for handler in projection.handlers if handler.table is each.table]
        why = _refuse(projection, each, mine)
        if why is not None:
            raise UsageError(f"table {each.table.name!r} of {projection.name!r} can't emit: {why}")
        found |= {handler.source.name: handler.source for handler in mine if isinstance(handler.source, EventSource)}
    if len(found) > 1:
        raise UsageError(
            f"{projection.name!r} derives from {' and '.join(sorted(found))}: one topic keeps the order of one source, so derive from "
            "tables of one source, and from the others in a projection of their own"
        )
    return next(iter(found.values()), None)


def _refuse(projection: Projection, emission: Emission, handlers: Sequence[Handler]) -> str | None:
    if not handlers:
        return "it has no handlers that are told of a row before and after (SQL handlers are not)"
    if any(each.spans for each in handlers):
        return "a spans handler takes what a batch happens to hold, and what is derived must not depend on that"
    if not all(isinstance(each.source, EventSource) for each in handlers):
        return "a captured table repeats and sweeps its rows; make events of its changes first (cdc.translate), and derive from those"
    if not projection.owns(emission.table):
        return "its rows are touched from several partitions, in an order that is another one each time; leave key= away"
    named = [kind.name for kind in emission.kinds.values() if kind.privacy]
    if named or projection.has_personal:
        return f"{', '.join(named) or projection.name} has personal fields, which could not be forgotten in a derived topic"
    return None


def find_upstream(projection: Projection) -> dict[str, DerivedSource]:
    """Give the sources that other projections derive and *projection* reads, by the other's name."""
    return {each.projection: each for each in projection.sources if isinstance(each, DerivedSource)}


def name_events(projection: Projection) -> frozenset[str]:
    """Give the names of the event types that handlers of *projection* take, recorded ones and derived ones."""
    return projection.wanted(EVENTS).union(*map(projection.wanted, find_upstream(projection).values()))


def order_chain(projections: Sequence[Projection]) -> list[Projection]:
    """Give *projections* so that each comes after those that it reads from, and otherwise in their order.

    Raises UsageError for a circle, for one that is missing, for events that nobody derives, and for effects of those that somebody does.
    """
    _refuse_effects(projections)
    by_name = {each.name: each for each in projections}
    upstream = {each.name: find_upstream(each) for each in projections}
    for name, sources in upstream.items():
        for other, source in sources.items():
            if other not in by_name:
                raise UsageError(f"{name!r} reads what {other!r} derives: put both into the same Projections(...)")
            if unknown := sorted(by_name[name].wanted(source) - {*source.messages}):
                derives = ", ".join(source.messages) or "nothing"
                raise UsageError(f"{name!r} reads {', '.join(unknown)} of {other!r}, which derives {derives}")
    try:
        order = list(TopologicalSorter({name: sorted(of) for name, of in upstream.items()}).static_order())
    except CycleError as error:
        raise UsageError(f"projections feed each other in a circle: {' -> '.join(reversed(error.args[1]))}") from None
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = max((depth[each] + 1 for each in upstream[name]), default=0)
    return sorted(projections, key=lambda each: depth[each.name])


def _refuse_effects(projections: Sequence[Projection]) -> None:
    """Raise UsageError for effects of derived events: they begin at offsets, which each generation's derived topic counts anew."""
    derived = {name: each.name for each in projections for name in each.derived.messages}
    for projection in projections:
        for effect in projection.effects:
            if found := sorted(effect.kinds & derived.keys()):
                raise UsageError(
                    f"effect {effect.name!r} of {projection.name!r} waits for {found[0]}, which {derived[found[0]]!r} derives: effects are "
                    "called for recorded events only. Declare it for the event that this one follows from, or record one for it"
                )
