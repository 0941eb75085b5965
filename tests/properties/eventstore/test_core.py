"""Reading no more of a document than a fold needs gives what reading all of it gives."""

from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventstore import event
from eventstore.codec import encode
from eventstore.errors import UndecodableRecord
from eventstore.event import Events
from eventstore.log.events import EventSource
from eventstore.plain import is_plain
from eventstore.source import Message
from tests.bank.records import Raw


@event("core-test-plain", version=2)
class Plain:
    name: str
    count: int
    share: float
    done: bool
    note: str | None
    rest: int | None = 7


@event("core-test-rich")
class Rich:
    """Not plain: the reader must make its dict first."""

    name: str | int
    tags: list[str] = field(default_factory=list)


@event("core-test-deep")
class Deep:
    name: str
    count: Any
    tags: list[str | None] = field(default_factory=list)
    rest: dict[str, int] | None = None
    note: Any = None
    share: list[dict[str, Any]] | None = None


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.sampled_from(["12", "true", "1.5", "", " 1", "1_0"])
)
DICTS = st.dictionaries(st.text(max_size=2), SCALARS, max_size=1)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | DICTS | st.lists(DICTS, max_size=2)
FITTING = st.fixed_dictionaries(
    {
        "name": st.text(max_size=5),
        "count": st.integers(-(2**63), 2**63 - 1),
        "share": st.floats(allow_nan=False, allow_infinity=False),
        "done": st.booleans(),
        "note": st.none() | st.text(max_size=3),
    },
    optional={"rest": st.integers(0, 9) | st.none(), "tags": st.lists(st.text(max_size=2), max_size=2), "more": SCALARS},
)
ODD = st.dictionaries(st.sampled_from(["name", "count", "share", "done", "note", "rest", "tags"]), VALUES)
NAMES = frozenset({"core-test-plain", "core-test-rich", "core-test-deep"})


def outcome(read: Any, value: bytes | None) -> Any:
    """Give what *read* makes of a record, the document apart; or the error that it raises."""
    try:
        message = read(Raw("t", 0, 0, 0, None, value))
    except UndecodableRecord as error:
        return str(error)
    return message and (message.name, message.body, list(map(type, vars_of(message.body))), message.key)


def scan(source: EventSource, value: bytes | None) -> Any:
    """Give what going through many documents makes of one, in the form of `outcome`."""

    def read(record: Raw) -> Message | None:
        found = list(source.scan(NAMES, source.reader(NAMES, whole=False), whole=False)([record]))
        return Message(*found[0]) if found else None

    return outcome(read, value)


def vars_of(body: Any) -> list[Any]:
    return [getattr(body, each) for each in body.__dataclass_fields__]


@given(
    st.builds(lambda good, odd: {**good, **odd}, FITTING, ODD) | ODD | SCALARS,
    st.sampled_from([*sorted(NAMES), "core-test-other", 5]),
    st.sampled_from([1, 2, 3, "2", None]),
    st.sampled_from(["order-1", None]),
)
@example({"name": "a", "count": 1.0, "share": 1, "done": True, "note": None}, "core-test-plain", 2, "order-1")
@example({"name": "a", "count": "1", "share": "1e3", "done": 1, "note": None}, "core-test-plain", 2, "order-1")
def test_same_as_whole(data: Any, name: Any, version: Any, subject: Any) -> None:
    """The same body with fields of the same types, the same key, or the same refusal, whatever the data holds."""
    value = encode({"id": "x", "type": name, "subject": subject, "schemaversion": version, "metadata": {"data": 1}, "data": data})
    whole, core = EventSource().reader(NAMES), EventSource().reader(NAMES, whole=False)
    assert outcome(core, value) == scan(EventSource(), value) == outcome(whole, value)


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"null", b"\xff", b'{"type":"core-test-plain"}', b"[" * 5_000])
def test_same_of_anything(value: bytes | None) -> None:
    """What is no document of ours is passed over or refused in the same words."""
    whole, core = EventSource().reader(NAMES), EventSource().reader(NAMES, whole=False)
    assert outcome(core, value) == scan(EventSource(), value) == outcome(whole, value)


def test_counts_passed() -> None:
    """Events of other types are counted by type as ever."""
    source = EventSource()
    read = source.reader(NAMES, whole=False)
    for name in ("core-test-other", "core-test-other", "core-test-more"):
        assert read(Raw("t", 0, 0, 0, None, encode({"type": name, "subject": "a", "schemaversion": 1, "data": {}}))) is None
    assert source.passed == {"core-test-other": 2, "core-test-more": 1}


def test_rare_types() -> None:
    """Where most documents are of other types, going through many gives the same and counts the same, before and after it gives up."""
    names = ["core-test-plain", *["core-test-other"] * 3]
    data = {"name": "a", "count": 1, "share": 0.5, "done": True, "note": None}
    documents = [
        encode({"type": names[each % 4], "subject": str(each), "schemaversion": 2, "data": data}) for each in range(1_200)
    ]
    source = EventSource()
    go_through = source.scan(NAMES, source.reader(NAMES, whole=False), whole=False)
    for _ in range(2):
        found = list(go_through([Raw("t", 0, 0, 0, None, each) for each in documents]))
        assert [each[2] for each in found] == [str(each) for each in range(0, 1_200, 4)]
    assert source.passed == {"core-test-other": 1_800}


def test_plain_classes() -> None:
    """A class is plain only if nothing but its fields decides what an instance holds."""

    @dataclass
    class Checked:
        name: str

        def __post_init__(self) -> None:
            self.name = self.name.upper()

    @dataclass
    class Sets:
        names: set[str]

    @dataclass
    class Made:
        names: list[str] = field(default_factory=lambda: ["x"])

    @dataclass
    class Numbered:
        names: dict[int, str]

    @dataclass
    class Bare:
        names: list

    @dataclass
    class Nested:
        plain: Plain

    @dataclass
    class Union:
        value: int | str

    @dataclass
    class Single:
        def __new__(cls) -> Self:
            return super().__new__(cls)

    events = Events()
    kinds = [
        events.add(f"core-test-{number}", 1, python)
        for number, python in enumerate((Plain, Deep, Rich, Checked, Sets, Made, Numbered, Bare, Nested, Union, Single))
    ]
    assert [is_plain(each) for each in kinds] == [True, True] + 9 * [False]
