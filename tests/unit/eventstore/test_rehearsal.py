"""The counting half of a rehearsal, golden samples, and the policy for events of a newer release."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eventstore.codec import encode
from eventstore.errors import NewerEvent, UndeclaredEvent, UsageError, VerificationFailed
from eventstore.event import Events
from eventstore.log.events import EventSource
from eventstore.schema import rename
from eventstore.schema.golden import Sample, check_samples, find_samples, write_samples
from eventstore.schema.rehearsal import OTHER, UNKNOWN_TYPE, Rehearsal
from eventstore.settings import EventSettings
from tests.unit.eventstore.test_history import Line


@pytest.fixture
def events() -> Events:
    """One type at version 2, whose version 1 had another name for a field."""
    made = Events()
    made.add("line-added", 2, Line).upcasters[1] = rename(qty="quantity")
    return made


def test_counts(events: Events) -> None:
    """Every event is counted; failures by type, version and reason, with the index of the first of each."""
    rehearsal = Rehearsal(events)
    good, wrong, empty = {"sku": "a", "quantity": 1}, {"sku": "a", "quantity": "x"}, {}
    firsts = rehearsal.take("line-added", 2, [good, wrong, good, wrong, empty, good])
    assert [index for index, _ in firsts] == [1, 4]
    assert rehearsal.take("line-added", 2, [wrong]) == []
    assert rehearsal.take("line-added", 1, [{"sku": "a", "qty": 1}]) == []
    assert [index for index, _ in rehearsal.take("line-added", 1, [good, {"sku": "a"}])] == [1]
    assert [index for index, _ in rehearsal.take("line-added", 3, [good, good])] == [0]
    assert [index for index, _ in rehearsal.take("line-lost", 1, [{}, {}])] == [0]
    assert (rehearsal.total, rehearsal.read["line-added", 2]) == (14, 7)
    counts = [(each.type, each.version, each.count, each.unknown) for each in rehearsal.failures]
    assert sorted(counts) == [
        ("line-added", 1, 1, False),
        ("line-added", 2, 1, False),
        ("line-added", 2, 3, False),
        ("line-added", 3, 2, False),
        ("line-lost", 1, 2, True),
    ]
    assert next(each for each in rehearsal.failures if each.unknown).reason == UNKNOWN_TYPE


def test_reasons_are_bounded(events: Events) -> None:
    """A message that differs for every event does not fill the memory: the rest is counted together."""

    def refuse(data: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(f"no {data['n']}")

    events.named("line-added").upcasters[1] = refuse
    rehearsal = Rehearsal(events)
    rehearsal.take("line-added", 1, [{"n": number} for number in range(500)])
    assert sum(each.count for each in rehearsal.failures) == 500
    assert {each.reason: each.count for each in rehearsal.failures}[OTHER] > 400
    assert len(rehearsal.failures) < 30


def test_golden(events: Events, tmp_path: Path) -> None:
    """Samples that were written are decoded for ever; one that no longer fits is named; a folder without any is no success."""
    with pytest.raises(UsageError, match="holds no samples"):
        check_samples(tmp_path, events)
    old, new = Sample("line-added", 1, {"sku": "a", "qty": 1}, "order-1@4"), Sample("line-added", 2, {"sku": "b", "quantity": 2})
    assert [each.name for each in write_samples(tmp_path, [new, old])] == ["line-added.v1.jsonl", "line-added.v2.jsonl"]
    assert find_samples(tmp_path) == [old, new]
    assert [each.decode(events) for each in find_samples(tmp_path)] == [Line("a", 1), Line("b", 2)]
    assert check_samples(tmp_path, events) == 2
    assert write_samples(tmp_path, [Sample("line-added", 1, {})]) == []
    events.named("line-added").upcasters[1] = rename(quantity="qty")
    with pytest.raises(VerificationFailed, match=r"1 of 2 samples can't be read any more:\nline-added v1 order-1@4: .*quantity"):
        check_samples(tmp_path, events)


class Given(NamedTuple):
    """A record as the log hands it over."""

    value: bytes | None
    topic: str = "t"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = b"a"
    headers: tuple[tuple[str, bytes], ...] = ()


def record(name: str, version: int) -> Given:
    return Given(encode({"type": name, "schemaversion": version, "data": {"sku": "a", "quantity": 1}, "subject": "order-1"}))


def test_policy(events: Events) -> None:
    """By default a newer version is refused, to be parked, and an undeclared type is passed over and counted; both can be turned round."""
    events.add("line-other", 1, type("Other", (Line,), {}))
    source = EventSource(events, EventSettings())
    read = source.reader(frozenset({"line-added"}))
    assert read(record("line-lost", 1)) is None
    assert source.passed == {"line-lost": 1}
    with pytest.raises(NewerEvent, match=r"version 3 is newer than this release's 2.*deploy that one here too, and replay"):
        read(record("line-added", 3))
    source = EventSource(events, EventSettings(newer="skip", undeclared="park"))
    read = source.reader(frozenset({"line-added"}))
    assert read(record("line-added", 3)) is None
    assert source.newer == {("line-added", 3): 1}
    assert read(record("line-other", 1)) is None
    assert read(record("subject-forgotten", 1)) is None
    assert read(Given(None)) is None
    with pytest.raises(UndeclaredEvent, match="'line-lost' is declared by no module"):
        read(record("line-lost", 1))
    message = read(record("line-added", 2))
    assert message is not None
    assert message.body == Line("a", 1)
