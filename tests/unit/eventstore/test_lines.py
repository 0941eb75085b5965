"""Events as JSON lines."""

import json
from pathlib import Path

import pytest

from eventstore import RawEvent, event
from eventstore.errors import UsageError
from eventstore.lines import read_lines, write_line


@event("lines-test-paid", version=1)
class Paid:
    cents: int


def write(tmp_path: Path, *lines: str) -> Path:
    """Write *lines* to a file."""
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_same_file_same_ids(tmp_path: Path) -> None:
    """A line without an id has the same one whenever the file is read; equal lines have different ones."""
    line = '{"stream": "a", "type": "x", "data": {"n": 1}}'
    path = write(tmp_path, line, line, '{"stream": "b", "type": "x", "data": {}, "id": "0190163d-8694-739b-aea5-966c26f8ad91"}')
    first, second = (list(read_lines(path, checked=False)) for _ in range(2))
    assert [new.id for _, new in first] == [new.id for _, new in second]
    assert len({new.id for _, new in first}) == 3
    assert first[0][1].event == RawEvent("x", {"n": 1})


def test_checked_lines_become_their_class(tmp_path: Path) -> None:
    """With an app every line must fit the class that is declared for its type."""
    path = write(tmp_path, '{"stream": "a", "type": "lines-test-paid", "data": {"cents": 5}, "occurred_at": "2020-01-01"}')
    [(stream, new)] = read_lines(path, checked=True)
    assert (stream, new.event) == ("a", Paid(5))
    assert new.occurred_at is not None
    assert new.occurred_at.tzinfo is not None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"type": "x", "data": {}}', "'stream' is missing"),
        ('{"stream": "a", "type": "x", "data": 5}', "give a JSON object"),
        ('{"stream": "a", "type": "x", "data": {}, "id": "no"}', "badly formed"),
        ('{"stream": "a", "type": "x", "data": {}, "occurred_at": "soon"}', "soon"),
        ('{"stream": "a", "type": "lines-test-paid", "data": {"cents": "many"}}', "cents"),
        ('{"stream": "a", "type": "lines-test-unknown", "data": {}}', "not declared"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, said: str) -> None:
    """A line that is wrong is named by file and number, with what is wrong."""
    path = write(tmp_path, "", line)
    with pytest.raises(UsageError, match=said) as refused:
        list(read_lines(path, checked="lines-test" in line))
    assert str(refused.value).startswith(f"{path}:2: ")


def test_tags_come_along(tmp_path: Path) -> None:
    """Tags of an exported event are read back, whatever they are made of; an event without any has none."""
    tags = ["course:5", 'a "quoted", {braced} \\ 😀']
    row = ("a", 1, 752, 1, "0190163d-8694-739b-aea5-966c26f8ad91", "x", 1, "{}", "{}", '"2020-01-01"', '"2020-01-01"')
    path = tmp_path / "events.jsonl"
    path.write_bytes(write_line((*row, json.dumps(tags))) + write_line((*row, None)))
    assert [list(new.tags) for _, new in read_lines(path, checked=False)] == [tags, []]
