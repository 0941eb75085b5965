"""What an archive holds, and whether it is whole: the names of its files, their footers, and every offset in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from eventstore.archive.arrow import load_arrow
from eventstore.archive.columns import choose_columns
from eventstore.archive.piece import Piece, find_breaks
from eventstore.archive.place import Place
from eventstore.archive.reader import open_piece
from eventstore.errors import RefoldError


@dataclass(slots=True)
class Holding:
    """What is archived of one partition: offsets from *first* to before *end*, *records* of them in *files* of *bytes*.

    *unused* offsets of that range belong to no record: transaction markers, aborted records. *faults* say what is wrong.
    """

    topic: str
    partition: int
    first: int
    end: int
    files: int
    records: int
    bytes: int
    unused: int
    faults: list[str] = field(default_factory=list[str])


def survey(place: Place, topic: str, *, deep: bool = False) -> list[Holding]:
    """Look at the names and footers of a topic's files; *deep* reads every record too, and so finds damaged ones."""
    holdings: list[Holding] = []
    for partition, pieces in sorted(place.find_pieces(topic).items()):
        faults = find_breaks(pieces)
        if pieces[0].first:
            faults.append(f"{topic}[{partition}] begins at offset {pieces[0].first}, so no replay can start from it")
        holding = Holding(topic, partition, pieces[0].first, pieces[-1].end, len(pieces), 0, 0, 0, faults)
        for piece in pieces:
            _look(place, piece, holding, deep=deep)
        holding.unused = sum(each.end - each.first for each in pieces) - holding.records
        holdings.append(holding)
    return holdings


def _look(place: Place, piece: Piece, holding: Holding, *, deep: bool) -> None:
    arrow = load_arrow()
    holding.bytes += place.files.get_file_info(place.path(piece)).size or 0
    try:
        file = open_piece(place, piece)
        holding.records += file.metadata.num_rows
        holding.faults += [f"{piece}: {each}" for each in _check_offsets(file, piece)]
        if deep:
            for group in range(file.num_row_groups):
                file.read_row_group(group, columns=choose_columns(file.schema_arrow.names))
    except RefoldError as error:
        holding.faults.append(str(error))
    except (OSError, arrow.ArrowException) as error:
        holding.faults.append(f"{piece} is damaged: {error}")


def _check_offsets(file: Any, piece: Piece) -> list[str]:
    """Say what is wrong with the offsets in a file: they must rise, and lie in the range of its name."""
    before = piece.first - 1
    for group in range(file.num_row_groups):
        for offset in file.read_row_group(group, columns=["offset"])["offset"].to_pylist():
            if not before < offset <= piece.last:
                return [f"offset {offset} comes after {before}, in a file that ends with {piece.last}"]
            before = offset
    return []
