"""What joins add to rows that are explained: worked out anew from versions that the log gives, and told with what made those. Pure."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from projections.declaration.join import Join, Point, as_point
from projections.declaration.projection import Projection
from projections.declaration.table import Table
from replay.evidence.cause import Cause, Complement, Teller, name_aside, name_function
from replay.evidence.sieve import Place, Touch
from replay.evidence.versions import Held, find_held, list_joins, strip_all


class Past:
    """Completes rows from the versions that *touches* (by table and key, in order) make."""

    def __init__(
        self,
        projection: Projection,
        teller: Teller,
        touches: Mapping[tuple[str, Any], Sequence[Touch]],
        left_out: AbstractSet[Place],
    ) -> None:
        self._projection = projection
        self._teller = teller
        self._touches = touches
        self._left_out = left_out
        self._versions: dict[str, dict[Any, Any]] = {}
        self._causes: dict[tuple[str, Any], list[Cause]] = {}
        for (name, key), mine in touches.items():
            causes, row = teller.retell(mine, left_out)
            self._causes[name, key] = causes
            self._versions.setdefault(name, {})[key] = row

    def complete(self, table: Table[Any], row: Any) -> tuple[list[Complement], str]:
        """Fill the joined columns of *row*; give how, and why that can't be told, if it can't."""
        joins = list_joins(self._projection, table)
        strip_all(joins, row)
        bare, made, obstacle = copy.copy(row), list[Complement](), ""
        for join in joins:
            found = self._work_out(join, bare, row)
            made.append(found)
            if found.gives is None:
                what = "that there is no version" if found.version is None else "its version"
                obstacle = f"the join with {join.past.name} refuses {what}: {found.note}"
        return made, obstacle

    def _work_out(self, join: Join, bare: Any, row: Any) -> Complement:
        point = join.find_point(bare)
        held = Held(None, None, None) if point is None else find_held(join.past, point, self._versions.get(join.past.name, {}))
        gives, note = None, self._explain_nothing(join, bare, point, held)
        try:
            values = join.work_out(copy.copy(bare), held.row)
            join.write(row, values)
            gives = dict(zip(join.sets, values, strict=True))
        except Exception as error:
            note = self._teller.excuse(error)
        named = None if held.row is None else dict(zip(join.past.key, as_point(held.key), strict=True))
        return Complement(
            join.past.name,
            self._teller.veil({each: getattr(bare, each) for each in (*join.on, join.at)}),
            self._teller.veil(named),
            None if held.until is None else held.until.isoformat(),
            self._teller.veil(None if held.row is None else dataclasses.asdict(held.row)),
            [] if held.row is None else self._causes[join.past.name, held.key],
            [] if point is None else self._list_aside(join, point, held),
            name_function(join.function),
            self._teller.veil(gives),
            note,
        )

    def _explain_nothing(self, join: Join, bare: Any, point: Point | None, held: Held) -> str:
        """Say why there is no version; empty where there is one."""
        if point is None:
            missing = [each for each in (*join.on, join.at) if getattr(bare, each) is None]
            return f"it has no {' and no '.join(missing)} to be joined under"
        if held.row is not None:
            return ""
        return "nothing was known yet" if held.until is not None else "nothing is known at all"

    def _list_aside(self, join: Join, point: Point, held: Held) -> list[Cause]:
        """List what would decide about *point* and has no effect."""
        since = None if held.row is None else as_point(held.key)[-1]
        found: list[Cause] = []
        for (name, key), touches in self._touches.items():
            *lineage, at = as_point(key)
            if name != join.past.name or (*lineage,) != point[:-1] or at > point[-1] or (since is not None and at <= since):
                continue
            found += [self._teller.tell(each, name_aside(each, self._left_out), None) for each in touches if each.set_aside]
        return found
