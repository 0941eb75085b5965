"""Folding a projection's archived events by columns: DuckDB for what is proved to be regular, the derived handlers for the rest.

Each file is folded by itself and its parts are kept in DuckDB, which spills to disk; so memory grows with the groups, not with the
events. Events that a file's census does not vouch for (older schema versions, values of several kinds) are read and folded one by
one, and both results are joined. An event that can't be read at all would be parked, with what follows: then nothing is taken, and
the whole archive is read event by event (`Irregular`).
"""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from eventstore.archive.columns import choose_columns, make_records, read_census
from eventstore.archive.piece import Piece
from eventstore.archive.place import Place
from eventstore.archive.reader import open_piece
from eventstore.errors import UsageError
from eventstore.event import EventType
from eventstore.event import registry as events
from eventstore.settings import EventSettings
from eventstore.source import Reader, Record
from eventstore.stream import Position
from projections.declaration.aggregate import Distinct, Last, spell
from projections.declaration.grouping import Grouping
from projections.declaration.projection import DOCUMENTS, Projection
from projections.declaration.sketch import add_hashes, estimate, hash_value
from projections.vectors.evidence import MOST_DIGITS, doubt_class, doubt_file
from projections.vectors.expression import Lift, Result, Source, express, express_keys, lift, lift_keys, literal, quote, select

Partition = tuple[str, int]
Tell = Callable[[int], None]
MEMORY = "1GB"
GLOB = "*?[{"
"""What DuckDB takes for a pattern in the path of a file."""


class Irregular(Exception):
    """These events can't be folded by columns; the message says why. Read them one by one."""


@dataclass(slots=True)
class Folded:
    """What came of it: rows by table name, per partition the offset behind its last event and that event's position."""

    rows: Mapping[str, Sequence[Any]]
    moves: Mapping[Partition, tuple[int, Position | None]]
    records: int
    single: int
    """Events that were read one by one."""


def doubt_projection(projection: Projection, settings: EventSettings | None = None) -> str | None:
    """Say why *projection* can't be folded by columns; None = it can."""
    for table in projection.tables:
        if table.grouping is None:
            return f"table {table.name} has handlers of its own"
    if projection.emissions:
        return "events follow from its rows one by one"
    if projection.has_personal:
        return "it reads personal fields"
    if (settings or EventSettings()).undeclared == "park":
        return "events of undeclared types are to be parked (REFOLD_EVENTS_UNDECLARED)"
    return None


class Vectors:
    """Folds the events of *projection* in *chains* below the offsets *until*, from nothing."""

    def __init__(
        self, projection: Projection, place: Place, chains: Mapping[Partition, Sequence[Piece]], until: Mapping[Partition, int]
    ) -> None:
        self._place = place
        self._until = until
        self._pieces = [
            (partition, piece)
            for partition, chain in sorted(chains.items())
            for piece in chain
            if piece.first < until.get(partition, 0)
        ]
        self._groupings = {each.name: each.grouping for each in projection.tables if each.grouping is not None}
        self._kinds = {each: events.named(each) for each in sorted(projection.wanted(DOCUMENTS))}
        self._vouched = {name: kind for name, kind in self._kinds.items() if doubt_class(kind) is None}
        self._single = Singles(self._groupings, DOCUMENTS.reader(frozenset(self._kinds)))
        self._moves: dict[Partition, tuple[int, Position | None]] = {}
        self._scale = 0
        self._made: set[str] = set()

    def fold(self, tell: Tell) -> Folded:
        """Fold everything; *tell* hears how many records are done. Raises Irregular."""
        done = 0
        self._scale = self._find_scale()
        with tempfile.TemporaryDirectory(prefix="refold-vectors-") as folder:
            database = _connect(folder)
            try:
                for partition, piece in self._pieces:
                    done += self._take(database, partition, piece)
                    tell(done)
                rows = {name: list(self._finish(database, name, each)) for name, each in self._groupings.items()}
            except _errors() as error:
                raise Irregular(f"a value does not fit the columns: {str(error).splitlines()[0]}") from error
            finally:
                database.close()
        return Folded({name: self._single.join(name, made) for name, made in rows.items()}, self._moves, done, self._single.count)

    def _find_scale(self) -> int:
        """Give the most digits after the point of any decimal that is folded by columns."""
        digits = [
            field["digits"]
            for _, piece in self._pieces
            for called, versions in self._read_census(piece).items()
            if called in self._vouched and (found := versions.get(str(self._kinds[called].version)))
            for field in found["fields"].values()
            if "digits" in field and sum(field["digits"]) <= MOST_DIGITS
        ]
        most = [max((each[part] for each in digits), default=0) for part in (0, 1)]
        if sum(most) > MOST_DIGITS:
            raise Irregular(f"decimals have up to {most[0]} digits before and {most[1]} after the point")
        return most[1]

    def _read_census(self, piece: Piece) -> Any:
        return read_census(open_piece(self._place, piece).schema_arrow.metadata)

    def _take(self, database: Any, partition: Partition, piece: Piece) -> int:
        """Fold one file, and give how many of its records lie below the limit."""
        file = open_piece(self._place, piece, dictionaries=("type", "stream"))
        census, names = read_census(file.schema_arrow.metadata), file.schema_arrow.names
        regular = [each for each in self._vouched.values() if self._is_regular(each, census, names)]
        self._show(database, piece, file, names)
        below = "true" if piece.end <= self._until[partition] else f'"offset" < {self._until[partition]}'
        for name, grouping in self._groupings.items():
            for kind in regular:
                if kind.python in grouping.kinds:
                    self._fold(database, name, grouping, Source(kind.name, names, self._scale), f"{below} AND {_are(kind)}")
        if not self._is_covered(regular, census, file.metadata.num_rows):
            self._fold_rest(database, file, partition, f"{below} AND {self._irregular(regular)}")
        return self._note_end(file, partition)

    def _show(self, database: Any, piece: Piece, file: Any, names: Sequence[str]) -> None:
        """Let DuckDB see the columns of *piece* as `piece`. A local file it reads by itself, on every core and a quarter as dear."""
        path = self._place.path(piece)
        if self._place.directory is None or any(each in path for each in GLOB):
            wanted = [each for each in names if each in self._needed or self._uses(each)]
            database.register("columns", file.read(columns=wanted))
            source = "columns"
        else:
            source = f"read_parquet({literal(path)}, hive_partitioning = false)"
        database.execute(f"CREATE OR REPLACE TEMP VIEW piece AS FROM {source}")

    @property
    def _needed(self) -> set[str]:
        """The columns that all folds need, beside the fields."""
        ordered = any(isinstance(each, Last) for grouping in self._groupings.values() for each in grouping.aggregates.values())
        streams = any(each.by_stream for each in self._groupings.values())
        found = {"offset", "type", "schema_version"}
        return found | ({"stream"} if streams else set[str]()) | ({"xid", "sequence"} if ordered else set[str]())

    def _is_covered(self, regular: Sequence[EventType], census: Any, rows: int) -> bool:
        """Say whether no record of a file can need reading, going by the census: all are events, those wanted are regular."""
        events_of = {(name, version): found["rows"] for name, versions in census.items() for version, found in versions.items()}
        proved = {(each.name, str(each.version)) for each in regular}
        return sum(events_of.values()) == rows and all(each in proved or each[0] not in self._kinds for each in events_of)

    def _uses(self, column: str) -> bool:
        return any(
            column == f"{kind.name}.{field}"
            for grouping in self._groupings.values()
            for field in grouping.types
            for kind in self._vouched.values()
        )

    def _is_regular(self, kind: EventType, census: Any, names: Sequence[str]) -> bool:
        found = census.get(kind.name, {}).get(str(kind.version))
        if found is None or doubt_file(kind, found):
            return False
        used = {field for each in self._groupings.values() if kind.python in each.kinds for field in each.types}
        return all(
            f"{kind.name}.{field}" in names or found["fields"].get(field, {"kind": "null"})["kind"] == "null" for field in used
        )

    def _irregular(self, regular: Sequence[EventType]) -> str:
        """Give the condition of the records that have to be read one by one: ours but not vouched for, and none of ours."""
        wanted = ", ".join(map(literal, self._kinds))
        proved = " OR ".join(f"({_are(each)})" for each in regular) or "false"
        return f"(type IS NULL OR (type IN ({wanted}) AND NOT ({proved})))"

    def _fold(self, database: Any, name: str, grouping: Grouping, source: Source, where: str) -> None:
        keys = express_keys(grouping, source)
        named = [f"{each} AS k{number}" for number, each in enumerate(keys)]
        groups = [f"k{number}" for number in range(len(keys))]
        parts = [each for result in self._express(grouping, source) for each in result.partial]
        given = " AND ".join([where, *(f"({each}) IS NOT NULL" for each in keys)])
        picked = [*named, *(f"{each} AS p{number}" for number, each in enumerate(parts))]
        self._keep(database, f"part {name}", select(picked, "piece", where=given, group=groups))
        for called, each in grouping.aggregates.items():
            if isinstance(each, Distinct):
                value = source.value(each.field, grouping.types[each.field])
                pairs = select([*named, f"{value} AS v"], "piece", where=f"{given} AND {value} IS NOT NULL", group=[*groups, "v"])
                self._keep(database, f"pair {name} {called}", pairs)

    def _keep(self, database: Any, table: str, query: str) -> None:
        make = "INSERT INTO {} {}" if table in self._made else "CREATE TABLE {} AS {}"
        database.execute(make.format(quote(table), query))
        self._made.add(table)

    def _express(self, grouping: Grouping, source: Source) -> list[Result]:
        found = (express(name, each, grouping, source) for name, each in grouping.aggregates.items())
        return [each for each in found if each is not None]

    def _fold_rest(self, database: Any, file: Any, partition: Partition, where: str) -> None:
        """Read the records one by one that are *where*; those without a value are tombstones, which nobody reads."""
        found = database.execute(select(['"offset"'], "piece", where=where)).fetchall()
        if found:
            offsets = {each for (each,) in found}
            for group in range(file.num_row_groups):
                records = make_records(*partition, file.read_row_group(group, columns=choose_columns(file.schema_arrow.names)))
                self._single.fold([each for each in records if each.offset in offsets])

    def _note_end(self, file: Any, partition: Partition) -> int:
        """Note the last record below the limit and its position, and give how many there are."""
        limit, count = self._until[partition], 0
        last, position = None, self._moves[partition][1] if partition in self._moves else None
        for group in range(file.num_row_groups):
            facts = file.metadata.row_group(group)
            if _reach(facts) < limit and group < file.num_row_groups - 1:
                count, last = count + facts.num_rows, _reach(facts)
                continue
            table = file.read_row_group(group, columns=["offset", "position"])
            offsets, positions = table["offset"], table["position"]
            kept = bisect_left(offsets, limit, key=_plain)
            count += kept
            last = offsets[kept - 1].as_py() if kept else last
            found = (positions[each].as_py() for each in range(kept - 1, -1, -1))
            position = next((Position.parse(text) for text in found if text is not None), position)
        if last is not None:
            self._moves[partition] = last + 1, position
        return count

    def _finish(self, database: Any, name: str, grouping: Grouping) -> Iterable[Any]:
        """Join the parts of all files, and make the rows."""
        if f"part {name}" not in self._made:
            return
        source = Source("", (), self._scale)
        results, joined, at = self._express(grouping, source), list[str](), 0
        names = [*grouping.columns, *(column for each in results for column in each.columns)]
        for each in results:
            joined += each.join([f"p{at + number}" for number in range(len(each.partial))])
            at += len(each.partial)
        keys = [f"k{number}" for number in range(len(grouping.columns))]
        sketches = {each: self._sketch(database, name, each, grouping, keys) for each in _distinct(grouping)}
        cursor = database.execute(select([*keys, *joined], quote(f"part {name}"), group=keys))
        lifts = [*lift_keys(grouping), *(make for each in results for make in each.lifts)]
        while page := cursor.fetchmany(10_000):
            columns = dict(
                zip(names, (_apply(make, each) for make, each in zip(lifts, zip(*page, strict=True), strict=True)), strict=True)
            )
            for each, of in sketches.items():
                found = [of.get(key, b"") for key in zip(*list(zip(*page, strict=True))[: len(keys)], strict=True)]
                columns |= {f"{each}_sketch": found, each: list(map(estimate, found))}
            yield from map(grouping.row, *(columns[each.name] for each in fields(grouping.row)))

    def _sketch(self, database: Any, name: str, called: str, grouping: Grouping, keys: Sequence[str]) -> dict[Any, bytes]:
        """Gather the different values of each group into its sketch."""
        aggregate = grouping.aggregates[called]
        make = lift(grouping.types[aggregate.field or ""])
        cursor = database.execute(select([*keys, "v"], quote(f"pair {name} {called}"), group=[*keys, "v"], order=keys))
        found: dict[Any, bytes] = {}
        while page := cursor.fetchmany(10_000):
            hashes: dict[Any, list[int]] = {}
            for *key, value in page:
                hashes.setdefault(tuple(key), []).append(hash_value(spell(value if make is None else make(value))))
            for key, each in hashes.items():
                found[key] = add_hashes(found.get(key, b""), each)
        return found


class Singles:
    """Rows of events that were read one by one, by table and key."""

    def __init__(self, groupings: Mapping[str, Grouping], read: Reader) -> None:
        self.count = 0
        self._groupings = groupings
        self._read = read
        self._rows: dict[str, dict[Any, Any]] = {name: {} for name in groupings}
        self._folds = {name: (each.make_key(), each.make_handler()) for name, each in groupings.items()}

    def fold(self, records: Iterable[Record]) -> None:
        """Read and fold *records*. Raises Irregular at one that can't be."""
        for record in records:
            if record.value is None:
                continue
            self.count += 1
            try:
                self._fold_one(record)
            except Exception as error:
                place = f"{record.topic}[{record.partition}]@{record.offset}"
                raise Irregular(f"{place} can't be folded: {type(error).__name__}") from error

    def _fold_one(self, record: Record) -> None:
        message = self._read(record)
        if message is None:
            return
        for name, grouping in self._groupings.items():
            if type(message.body) in grouping.kinds:
                key_of, handle = self._folds[name]
                rows, key = self._rows[name], message.key if key_of is None else key_of(message.body)
                if (made := handle(message.body, rows.get(key), message.raw)) is not None:
                    rows[key] = made

    def join(self, name: str, rows: list[Any]) -> list[Any]:
        """Give *rows*, which DuckDB made, with these joined in. Raises Irregular where both can't be compared."""
        grouping, mine = self._groupings[name], dict(self._rows[name])
        if not mine:
            return rows
        key_of = attrgetter(*grouping.columns)
        try:
            for row in rows:
                if (other := mine.pop(key_of(row), None)) is not None:
                    grouping.join(row, other)
        except (ArithmeticError, TypeError) as error:
            raise Irregular(f"values of {name} can't be joined: {error}") from error
        return [*rows, *mine.values()]


def _plain(scalar: Any) -> Any:
    return scalar.as_py()


def _apply(make: Lift | None, values: Sequence[Any]) -> Sequence[Any]:
    return values if make is None else [None if each is None else make(each) for each in values]


def _distinct(grouping: Grouping) -> list[str]:
    return [name for name, each in grouping.aggregates.items() if isinstance(each, Distinct)]


def _reach(group: Any) -> int:
    """Give the last offset of a row group, by its statistics; one without them might reach anywhere."""
    statistics = group.column(0).statistics
    return statistics.max if statistics is not None and statistics.has_min_max else 1 << 63


def _are(kind: EventType) -> str:
    return f"coalesce(type = {literal(kind.name)} AND schema_version = {kind.version}, false)"


def _connect(folder: str) -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise UsageError("a fold by columns needs DuckDB: install refold[archive]") from error
    spill = str(Path(folder) / "spill")
    return duckdb.connect(config={"threads": os.cpu_count() or 1, "memory_limit": MEMORY, "temp_directory": spill})


def _errors() -> tuple[type[Exception], ...]:
    import duckdb

    return duckdb.DataError, duckdb.OutOfMemoryException, ArithmeticError
