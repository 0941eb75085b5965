"""Whether today's classes read every recorded version: what is found, where, and that nothing is found where nothing is wrong."""

import dataclasses
import itertools
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel, Field

from eventstore.errors import UsageError
from eventstore.event import EventType, registry
from eventstore.forgotten import FORGOTTEN, SubjectForgotten
from eventstore.meaning import digest
from eventstore.schema import Recorded, Verdict, check_history, convert, defaults, drop, move, rename, split
from eventstore.schema.derivation import derive_read, derive_written
from eventstore.schema.history import find_changes
from eventstore.schema.shape import fingerprint

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass(frozen=True)
class Line:
    sku: str
    quantity: int


class Card(BaseModel):
    kind: Literal["card"]
    number: Annotated[str, Field(min_length=4, max_length=4)]


class Cash(BaseModel):
    kind: Literal["cash"]
    given: Decimal


class Tree(BaseModel):
    value: int
    children: "list[Tree]" = []


class Paid(BaseModel):
    by: Annotated[Card | Cash, Field(discriminator="kind")]
    at: datetime
    tree: Tree | None = None


class Shipped(msgspec.Struct, frozen=True):
    parcel: UUID
    weight: float
    lines: list[Line]
    on: date | None = None
    price: Decimal = Decimal(0)


def of(**fields: Any) -> type:
    """Make an event class with these fields; a pair is a type and its default."""
    made = [(name, *given) if isinstance(given, tuple) else (name, given) for name, given in fields.items()]
    return dataclasses.make_dataclass("Example", made, frozen=True)


def kind(version: int, python: type, *upcasters: Upcaster) -> EventType:
    """Declare the type at *version*; *upcasters* lead from version 1 on."""
    made = EventType("order-placed", version, python)
    made.upcasters.update(enumerate(upcasters, 1))
    return made


def recorded(*classes: type) -> list[Recorded]:
    """Record one class for each version from 1."""
    return [Recorded("order-placed", version, derive_written(kind(version, each))) for version, each in enumerate(classes, 1)]


def judge(newest: EventType, *classes: type) -> dict[int, Verdict]:
    return {each.version: each for each in check_history([newest], recorded(*classes))}


def same(data: dict[str, Any]) -> dict[str, Any]:
    return data


RICH = of(
    id=UUID,
    at=datetime,
    price=Decimal,
    colour=Colour,
    lines=list[Line],
    counts=dict[str, int],
    pair=tuple[int, str],
    tags=frozenset[str],
    kind=Literal["a", "b"],
    note=(str | None, None),
)


@pytest.mark.parametrize("python", [RICH, Paid, Shipped, Tree, of(), of(a=Any), of(a=object)])
def test_unchanged(python: type) -> None:
    """A class reads what it writes, whatever kind of class it is, and the same class has the same fingerprint every time."""
    [verdict] = check_history([kind(1, python)], recorded(python))
    assert (verdict.how, verdict.breaks) == ("same", [])
    assert verdict.tried > 0
    assert fingerprint(derive_written(kind(1, python))) == fingerprint(derive_written(kind(1, python)))


def test_new() -> None:
    """A type that was never recorded is new; it is tried all the same."""
    [verdict] = check_history([kind(1, RICH)], [])
    assert verdict.how == "new"
    assert verdict.tried > 20


def test_cannot_read_itself() -> None:
    """A class that does not read what it writes is found before its first event is stored."""

    class Aliased(BaseModel):
        total: int = Field(alias="Total")

    [verdict] = check_history([kind(1, Aliased)], [])
    assert verdict.how == "refused"
    assert verdict.breaks[0].path == "Total"


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (of(total=int), of(total=float), "total"),
        (of(total=int), of(total=int, note=(str, "")), "note"),
        (of(total=int, note=str), of(total=int), "note"),
        (of(colour=Literal["red"]), of(colour=Literal["red", "blue"]), "colour"),
        (of(lines=list[Line]), of(lines=list[of(sku=str, quantity=str)]), "lines[].quantity"),
    ],
)
def test_changed_under_same_version(before: type, after: type, path: str) -> None:
    """Every change of a class under a version that is recorded is refused, and named by its field; even one that widens it."""
    verdict = judge(kind(1, after), before)[1]
    assert verdict.how == "refused"
    assert [each.path for each in verdict.breaks] == [path]
    assert "Raise the version" in verdict.breaks[0].advice


def test_respelled_is_no_change() -> None:
    """Another name, another docstring, another spelling of the same schema are no change."""

    @dataclasses.dataclass(frozen=True)
    class Renamed:
        """It has a text now."""

        sku: str
        quantity: int

    assert judge(kind(1, Renamed), Line)[1].how == "same"
    one = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}
    two = {"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "string"}]}}}
    assert fingerprint(one) != fingerprint(two)
    assert find_changes(one, two) == []


V1, V2, V3 = of(id=str, amount=int), of(id=str), of(id=str, amount=str)


@pytest.mark.parametrize("keep", [same, dict, rename(nothing="else")])
def test_readded_with_another_type(keep: Upcaster) -> None:
    """The classic trap: each version reads the one before, and version 1 can't be read by version 3."""
    newest = kind(3, V3, keep, defaults(amount=""))
    verdicts = judge(newest, V1, V2)
    assert {version: each.how for version, each in verdicts.items()} == {1: "refused", 2: "proved", 3: "new"}
    assert {each.path for each in verdicts[1].breaks} == {"amount"}
    assert verdicts[1].breaks[0].example["amount"] == 1
    assert "drop('amount')" in verdicts[1].breaks[0].advice
    assert judge(kind(3, V3, drop("amount"), defaults(amount="")), V1, V2)[1].how == "proved"


def test_readded_with_the_same_type() -> None:
    """A field that was given up and came back must not take over old values, even where their type fits."""
    newest = kind(3, V1, same, defaults(amount=0))
    [only] = judge(newest, V1, V2)[1].breaks
    assert "version 2 has no such field" in only.why
    assert judge(kind(3, V1, same, lambda data: {**data, "amount": -1}), V1, V2)[1].how == "tried"


def test_proved_and_tried() -> None:
    """A chain of ready-made steps is proved, one with a function in it is tried; with declared results it is proved again."""

    def halves(name: str) -> tuple[str, str]:
        first, _, last = name.partition(" ")
        return first, last

    before, after = of(name=str, qty=int, zip=str), of(first=str, last=str, quantity=int, address=of(zip=str))
    steps = rename(qty="quantity") | move("zip", "address.zip")
    for upcaster, how in (
        (steps | split("name", into=("first", "last"), by=halves), "proved"),
        (steps | split("name", into=("first", "last"), by=lambda name: (name, "")), "tried"),
        (lambda data: {**steps(data), "first": "", "last": ""}, "tried"),
    ):
        assert judge(kind(2, after, upcaster), before)[1].how == how


def test_proof_beyond_trial() -> None:
    """What no instance happens to meet, the comparison of schemas finds."""
    before, after = of(code=Annotated[str, Field(pattern="^(A|zz[q]{7})$")]), of(code=Literal["A"])
    [only] = judge(kind(2, after, rename(nothing="else")), before)[1].breaks
    assert (only.path, only.proven, only.example) == ("code", True, None)


def test_types_through_a_conversion() -> None:
    """A field whose type changes needs a conversion, and that is proved by the function's own result type."""
    before, after = of(total=int), of(total=str)
    [broken] = judge(kind(2, after, rename(x="y")), before)[1].breaks
    assert (broken.path, broken.old, broken.new) == ("total", '{"type":"integer"}', '{"type":"string"}')
    assert judge(kind(2, after, convert("total", by=str)), before)[1].how == "proved"


def test_faulty_upcasters() -> None:
    """An upcaster that raises, gives no dict, or gives two answers to one question is named, with data that shows it."""
    counter = itertools.count()
    faults: list[tuple[Any, str]] = [
        (lambda data: {"total": data["sum"]}, "KeyError: no field 'sum'"),
        (lambda data: {"total": 100 // data["total"]}, "ZeroDivisionError"),
        (lambda data: {"total": next(counter)}, "two results for the same data"),
        (list, "gave list, not a dict"),
    ]
    for upcaster, said in faults:
        verdict = judge(kind(2, of(total=int), upcaster), of(total=int))[1]
        assert verdict.how == "refused"
        assert said in verdict.breaks[0].why
        assert verdict.breaks[0].example is not None


def test_upcaster_may_change_its_input() -> None:
    """An upcaster that changes the dict it gets is as good as one that makes a new one."""

    def rename_in_place(data: dict[str, Any]) -> dict[str, Any]:
        data["quantity"] = data.pop("qty")
        return data

    assert judge(kind(2, of(quantity=int), rename_in_place), of(qty=int))[1].how == "tried"


def test_gaps() -> None:
    """A missing upcaster, a type without a class, and a version from the future are each refused by name."""
    verdicts = judge(kind(3, V3, drop("amount")), V1)
    assert {version: each.how for version, each in verdicts.items()} == {1: "refused", 2: "refused", 3: "new"}
    assert "no upcaster leads from version 2 to 3" in verdicts[1].breaks[0].why
    [lost] = check_history([], recorded(V1))
    assert (lost.how, lost.newest) == ("refused", None)
    assert "no imported module declares" in lost.breaks[0].why
    future = judge(kind(1, V1), V1, V2)[2]
    assert "a newer release has written it" in future.breaks[0].why


def test_no_schema() -> None:
    """A field that has no JSON form is a mistake of the class, which is named."""
    with pytest.raises(UsageError, match="Example has no JSON Schema"):
        derive_written(kind(1, of(call=Callable[[], int])))


def test_decimals_and_dates() -> None:
    """Decimals are recorded as the text that the codec writes, and are read from numbers too."""
    python = of(price=Decimal, on=date)
    assert derive_written(kind(1, python))["properties"]["price"]["format"] == "decimal"
    newest = kind(2, of(price=Decimal, on=date), rename(nothing="else"))
    assert check_history([newest], recorded(of(price=int, on=date)))[0].how == "proved"
    assert check_history([newest], recorded(of(price=Decimal, on=datetime)))[0].how == "refused"
    assert derive_read(kind(1, of(wait=timedelta)))["properties"]["wait"]["format"] == "duration"


def test_meaning_of_steps() -> None:
    """Each different step, and each different function in one, changes the fingerprint of the projections that read through it."""

    def up(text: str) -> str:
        return text.upper()

    def low(text: str) -> str:
        return text.lower()

    steps = [
        rename(a="b"),
        rename(a="c"),
        drop("a"),
        defaults(a="b"),
        defaults(a=["b"]),
        convert("a", by=up),
        convert("a", by=low),
        convert("a", by=str),
        rename(a="b") | drop("a"),
        drop("a") | rename(a="b"),
        move("a", "b"),
        split("a", into=("b", "c"), by=up),
    ]
    assert len({digest(each) for each in steps}) == len(steps)
    assert digest(rename(a="b")) == digest(rename(a="b"))


def test_own_types_never_change() -> None:
    """The schema of the framework's own event type stays what its first release wrote: no app records it, so this does."""
    schema = {"type": "object", "properties": {"subject": {"type": "string"}}, "required": ["subject"]}
    [verdict] = check_history([registry.of(SubjectForgotten)], [Recorded(FORGOTTEN, 1, schema)])
    assert verdict.how == "same"
