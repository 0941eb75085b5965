"""What was seen of one ordered source, and so what a message means: pure, over a sheet of marks that is kept like any table's.

A handler is told of every row: once that it is there, then of its changes, once that it is gone. That holds although the log may repeat
messages, bring those of one partition late, read a table again, and say in one record that every row is gone. So

- a message that stands no later than the last one of its key was seen: it is dropped;
- a row that went with all others (a truncate), or that a new snapshot of the whole table no longer holds, goes by a message of its own;
- a row that is found again by a snapshot has changed, at most.

Marks are written in the transaction that writes the rows. A row below the *floor* is gone; its message is made as soon as the row is met:
in a sheet that holds all marks at once, else by the caller, who looks for marks below the floor (`history.is_due`, then `remove`).
"""

from __future__ import annotations

from collections.abc import Iterable

from eventstore.source import Message, OrderedSource, Place, Sweep
from projections.fold.sheet import Sheet
from projections.order.epoch import History, Order
from projections.order.mark import HISTORY, Mark, mark_history


class Ledger:
    """Decides about the messages of *source*. *recalls*: marks keep what the rows were, for handlers that need it when they go."""

    def __init__(self, source: OrderedSource, sheet: Sheet, *, recalls: bool) -> None:
        self.source = source
        self.sheet = sheet
        self.partitions = 1
        self._recalls = recalls and source.recalls
        self._history: History | None = None

    @property
    def history(self) -> History:
        """The source's history, as the loaded mark has it."""
        if self._history is None:
            mark: Mark | None = self.sheet.rows.get(HISTORY)
            text = mark.row if mark is not None else None
            self._history = History(self.partitions) if text is None else History.read(text, self.partitions)
        return self._history

    def seal(self) -> None:
        """Bring the history into its mark, to be written."""
        if self._history is not None:
            self.put(HISTORY, mark_history(self._history.write()))

    def forget(self) -> None:
        """Take the history from its mark again when it is asked for."""
        self._history = None

    @property
    def is_due(self) -> bool:
        """Whether rows may be there that have gone."""
        return self._history is not None and self._history.is_due

    def put(self, key: str, mark: Mark | None) -> None:
        """Set the mark under *key*."""
        self.sheet.rows[key] = mark
        self.sheet.dirty.add(key)

    def admit(self, partition: int, message: Message, place: Place) -> list[Message]:
        """Give the messages that *message* amounts to, which may be none, and mark it as seen."""
        history = self.history
        order = history.locate(partition, place)
        if place.act == "sweep":
            history.raise_floor(order, place.at)
            return self._sweep()
        found = self._decide(message, place, order)
        return [*found, *self._sweep()] if history.ends_snapshot(place, order) else found

    def find_gone(self, marks: Iterable[Mark | None]) -> list[Mark]:
        """Give those of *marks* whose rows were there and are gone."""
        covers = self.history.covers
        return [each for each in marks if each is not None and each.alive and covers(each.order, each.at)]

    def remove(self, marks: Iterable[Mark]) -> list[Message]:
        """Give the messages by which the rows of *marks* go, and drop the marks: below the floor none is needed."""
        found: list[Message] = []
        find_sweep = self.history.find_sweep
        for mark in marks:
            self.put(mark.key, None)
            found.append(self.source.remove(mark.key, mark.row, find_sweep(mark.order, mark.at)))
        return found

    def _sweep(self) -> list[Message]:
        history = self.history
        if not self.sheet.is_whole or not history.is_due:
            return []
        history.swept = history.floor
        return self.remove(self.find_gone(self.sheet.rows.values()))

    def _decide(self, message: Message, place: Place, order: Order) -> list[Message]:
        history, key = self.history, place.key
        if history.is_below(place, order):
            return []
        if key is None:
            return [message]
        mark: Mark | None = self.sheet.rows.get(key)
        if mark is not None and order <= mark.order:
            return []
        found: list[Message] = []
        alive = mark is not None and mark.alive
        covered = mark is not None and history.covers(mark.order, mark.at)
        if mark is not None and alive and (covered or place.act == "appear"):
            sweep = history.find_sweep(mark.order, mark.at) if covered else Sweep("unseen", place.order, place.at)
            found.append(self.source.remove(key, mark.row, sweep))
            alive = False
        row = self.source.recall(message.body) if self._recalls and place.act != "vanish" else None
        self.put(key, Mark(key, *order, 0 if place.snapshot else place.at, alive=place.act != "vanish", row=row))
        if mark is not None and alive and place.act == "read":
            return [self.source.revise(message.body, mark.row)]
        return [*found, message]
