"""The order of a source whose log may begin anew: pure arithmetic over where messages stand.

Within one log, places compare by (position of the commit, position of the row). A log ends when a slot is lost, a server is restored or
another one takes over: then positions may be lower than before. So places are numbered by **epoch** first. An epoch begins

- with a whole snapshot: all rows of one bear the same identity, whatever the positions are;
- where positions fall within a partition while the commits' times go on: repeated records bear times that were seen already.

Which epoch a place belongs to is read from the place alone, so all partitions agree although each meets the beginning at another moment:
it is before an epoch if its position is, or, where positions fell, if its commit's time is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from eventstore.source import Place, Sweep

Order = tuple[int, int, int, int]
"""Epoch, position of the commit, position of the row, rank of what shares both."""

_RANKS = {"vanish": 1, "appear": 2, "read": 2, "change": 2, "sweep": 3}
_ASIDE = 4
SKEW_US = 10_000_000
"""How far two clocks may be apart."""
PREPARED_US = 600_000_000
"""How long a connector may take from its snapshot's position until it reads the first row."""
NOTHING: Order = (-1, 0, 0, 0)


class High(NamedTuple):
    """The furthest place that a partition has come to."""

    epoch: int
    commit: int
    event: int
    at: int


class Epoch(NamedTuple):
    """Where an epoch begins: position and time of the first place that was met of it, its snapshot's identity.

    *last* is the furthest place known of the epoch before, if positions fell after it.
    """

    commit: int
    event: int
    at: int
    snapshot: str | None = None
    last: High | None = None

    @property
    def skew(self) -> int:
        """How many microseconds of the epoch's time mean nothing: a snapshot's is read from another clock than commits'."""
        return SKEW_US if self.snapshot is not None else 0

    def is_after(self, order: tuple[int, int], at: int) -> bool:
        """Say whether what was committed at *order*, at the time *at*, lies before this epoch.

        Between the last place known of the epoch before and the first one of this, those of the epoch before lie higher than its last.
        """
        if self.snapshot is not None and at < self.at - PREPARED_US:
            return True
        if self.last is not None:
            is_higher = order > (self.last.commit, self.last.event)
            return at <= self.last.at or (is_higher and at < self.at + self.skew)
        return order < (self.commit, self.event) and at <= self.at + self.skew


class History:
    """The epochs of one source, how far each partition is, and the *floor*: no row whose last message is below it exists any more.

    *partitions* is how many the source's topic has. The floor is at a truncate, or at the beginning of the epoch whose snapshot ended.
    *swept* is the floor up to which rows were removed, *floors* came since. *awaited* is the epoch whose snapshot has ended in
    one of several partitions: its rows may still be to come in others, up to *until*, which is where they ended when the end was known.
    """

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions
        self.epochs = [Epoch(0, 0, 0)]
        self.highs: dict[int, High] = {}
        self.floor: Order = NOTHING
        self.swept: Order = NOTHING
        self.floor_at = 0
        self.floors: list[tuple[Order, int]] = []
        self.ended = 0
        self.awaited: int | None = None
        self.until: dict[int, int] = {}

    def locate(self, partition: int, place: Place) -> Order:
        """Give the order of *place*, met in *partition*; an epoch that begins with it is noted."""
        if place.aside:
            return self._locate_aside(partition, place)
        if place.snapshot is not None:
            epoch = self._find_snapshot(partition, place)
        else:
            epoch = self._find_epoch(partition, place)
            if epoch == len(self.epochs) - 1 and (last := self._find_fall(partition, epoch, place)):
                epoch = self._begin(place, last)
        high, (commit, event) = self.highs.get(partition), place.order
        if high is None or (epoch, commit, event) > high[:3]:
            self.highs[partition] = High(epoch, commit, event, place.at)
        return (epoch, commit, event, _RANKS[place.act])

    def ends_snapshot(self, place: Place, order: Order) -> bool:
        """Note that the newest epoch's snapshot is over, if *place* says so; True = for the first time.

        The last row says so, and so does any message of the stream, which begins after the snapshot.
        """
        newest = len(self.epochs) - 1
        if order[0] != newest or newest <= self.ended or self.epochs[newest].snapshot is None or place.aside:
            return False
        if place.snapshot is not None and not place.ends:
            return False
        self.ended = newest
        if self.partitions > 1:
            self.awaited, self.until = newest, {}
            return False
        self.raise_floor((newest, 0, 0, 0), self.epochs[newest].at)
        return True

    def end_awaited(self, seen: Mapping[int, int]) -> bool:
        """Let the rows go that the awaited epoch's snapshot did not hold, if every partition was read to *until*; True = they may go."""
        if self.awaited is None or not self.until or any(seen.get(each, 0) < until for each, until in self.until.items()):
            return False
        self.raise_floor((self.awaited, 0, 0, 0), self.epochs[self.awaited].at)
        self.awaited, self.until = None, {}
        return True

    def raise_floor(self, order: Order, at: int) -> None:
        """Let no row exist whose last message is below *order*, a place of time *at*."""
        if order > self.floor:
            self.floor, self.floor_at = order, at
            self.floors = [each for each in self.floors if each[0] > self.swept] + [(order, at)]

    def find_sweep(self, order: Order, at: int) -> Sweep:
        """Give what removed a row below the floor whose last message stood at *order*, of time *at*: the first floor that did."""
        newest = self.floor, self.floor_at
        due = [each for each in self.floors if self.swept < each[0] < newest[0]]
        try:
            for self.floor, self.floor_at in due:
                if self.covers(order, at):
                    return self._tell_sweep()
        finally:
            self.floor, self.floor_at = newest
        return self._tell_sweep()

    def _tell_sweep(self) -> Sweep:
        epoch, commit, event, rank = self.floor
        if rank == _RANKS["sweep"]:
            return Sweep("truncate", (commit, event), self.floor_at)
        return Sweep("snapshot", self.epochs[epoch][:2], self.floor_at)

    def is_below(self, place: Place, order: Order) -> bool:
        """Say whether *place*, which stands at *order*, is about a row that was gone by the floor."""
        if not place.aside:
            return order <= self.floor
        return (order[0], place.order[1]) < (self.floor[0], self.floor[2])  # its own position tells of floors, if of nothing else

    def covers(self, order: Order, at: int) -> bool:
        """Say whether a row whose last message stood at *order*, of time *at*, is gone.

        What was written after a truncate may have a lower position only if its log is a newer one, and what was written after a snapshot
        may have been met before the snapshot was, in another partition: their time tells.
        """
        epoch = self.floor[0]
        if at and 0 <= order[0] < epoch and not self.epochs[epoch].is_after(order[1:3], at):
            falls = order[3] == _ASIDE and self.epochs[epoch].last is not None  # then its place is one of the log before
            order = (epoch, 0, 0, _ASIDE) if falls else (epoch, *order[1:])
        return order < self.floor and (self.floor[3] != _RANKS["sweep"] or at <= self.floor_at)

    @property
    def is_due(self) -> bool:
        """Whether rows below the floor may be there still."""
        return self.swept < self.floor

    def _locate_aside(self, partition: int, place: Place) -> Order:
        """Give the order of a row that was read beside the stream: after all that came before it, before all that comes."""
        epoch = self._find_time(place)
        high = self.highs.get(partition)
        if high is None or high.epoch != epoch:
            return (epoch, 0, 0, _ASIDE)
        return (epoch, high.commit, high.event, _ASIDE)

    def _find_time(self, place: Place) -> int:
        epoch = len(self.epochs) - 1
        while epoch and place.at < self.epochs[epoch].at:
            epoch -= 1
        return epoch

    def _find_snapshot(self, partition: int, place: Place) -> int:
        if self.epochs[-1].snapshot == place.snapshot:
            return len(self.epochs) - 1
        found = next((number for number, each in enumerate(self.epochs) if each.snapshot == place.snapshot), None)
        if found is not None:
            return found
        newest = len(self.epochs) - 1
        begin = self.epochs[newest]
        if self._began_elsewhere(partition, place):
            self.epochs[newest] = Epoch(*place.order, place.at, place.snapshot, begin.last)
            return newest
        if place.at < begin.at:
            return self._find_time(place)  # a snapshot that was over when the newest one began
        last = max((each for each in self.highs.values() if each.epoch == newest), default=None)
        if last is not None and (place.order >= (last.commit, last.event) or last.at >= place.at - SKEW_US):
            last = None  # not lower, or another partition is past the snapshot already
        return self._begin(place, last)

    def _began_elsewhere(self, partition: int, place: Place) -> bool:
        """Say whether the newest epoch began with what came after the snapshot of *place*, met earlier in another partition."""
        newest, high = len(self.epochs) - 1, self.highs.get(partition)
        begin = self.epochs[newest]
        if begin.snapshot is not None or begin.last is None or begin.is_after(place.order, place.at):
            return False
        is_first = place.order <= (begin.commit, begin.event) and place.at <= begin.at + PREPARED_US
        return is_first and (high is None or high.epoch < newest)

    def _find_epoch(self, partition: int, place: Place) -> int:
        """Find it by position and time; a partition that has entered the newest epoch never leaves it."""
        epoch, high = len(self.epochs) - 1, self.highs.get(partition)
        if high is not None and high.epoch == epoch and place.order >= (high.commit, high.event):
            return epoch
        while epoch and (self.epochs[epoch].is_after(place.order, place.at) or self._contradicts(epoch, place)):
            epoch -= 1
        return epoch

    def _contradicts(self, epoch: int, place: Place) -> bool:
        """Say whether *place* is higher than what another partition has met of *epoch*'s stream, and yet was committed before it."""
        begin = self.epochs[epoch][:2]
        return any(
            each.epoch == epoch and begin < (each.commit, each.event) < place.order and place.at < each.at - SKEW_US
            for each in self.highs.values()
        )

    def _find_fall(self, partition: int, epoch: int, place: Place) -> High | None:
        """Give the furthest place of *epoch*, newest of all, if *place* is later than it although its position is lower.

        Behind the epoch's begin, which a snapshot may share with the first record of the stream, the same position is too low already.
        """
        begin, high = self.epochs[epoch], self.highs.get(partition)
        known = [High(epoch, begin.commit, begin.event, begin.at + begin.skew)] if epoch else []
        if self.floor[0] == epoch and self.floor[3] == _RANKS["sweep"]:
            known.append(High(epoch, *self.floor[1:3], self.floor_at))
        if high is not None and high.epoch == epoch:
            known.append(high)
        repeated = place.order if place.order > begin[:2] else None
        fallen = (each for each in known if place.at > each.at and (place.order < each[1:3] or repeated == each[1:3]))
        return max(fallen, default=None)

    def _begin(self, place: Place, last: High | None) -> int:
        if not self.highs and place.snapshot is not None:
            self.floor = self.swept = (len(self.epochs), 0, 0, 0)  # nothing was there that could have vanished
            self.ended = len(self.epochs) if self.partitions == 1 else self.ended
        made, number = Epoch(*place.order, place.at, place.snapshot, last), len(self.epochs)
        self.epochs.append(made)
        if self.floor[3] == _RANKS["sweep"] and not made.is_after(self.floor[1:3], self.floor_at):
            _, commit, event, rank = self.floor
            self.floor = (number, commit, event, rank)  # a truncate that another partition met first
            self.floors.append((self.floor, self.floor_at))
        return number

    def write(self) -> str:
        """Give all of it as text."""
        facts: dict[str, Any] = {
            "epochs": self.epochs,
            "highs": {str(number): each for number, each in self.highs.items()},
            "floor": self.floor,
            "floor_at": self.floor_at,
            "floors": [each for each in self.floors if each[0] > self.swept],
            "swept": self.swept,
            "ended": self.ended,
            "awaited": self.awaited,
            "until": {str(number): offset for number, offset in self.until.items()},
        }
        return json.dumps(facts, separators=(",", ":"))

    @classmethod
    def read(cls, text: str, partitions: int) -> History:
        """Read what `write` gave."""
        facts = json.loads(text)
        made = cls(partitions)
        made.epochs = [Epoch(*each[:4], last=None if each[4] is None else High(*each[4])) for each in facts["epochs"]]
        made.highs = {int(number): High(*each) for number, each in facts["highs"].items()}
        (made.floor, made.swept) = (tuple(facts[each]) for each in ("floor", "swept"))
        made.floor_at = facts["floor_at"]
        made.floors = [(tuple(order), at) for order, at in facts.get("floors", ())]
        made.ended, made.awaited = facts["ended"], facts["awaited"]
        made.until = {int(number): offset for number, offset in facts["until"].items()}
        return made
