"""SQL handlers, spans and effects as they are declared: what is refused, and what belongs to whom."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import pytest

from eventstore.errors import UsageError
from eventstore.event import event
from projections import Projection, Projections
from projections.chaos import require_equal
from projections.declaration.effect import name_key
from projections.declaration.refusal import refuse
from projections.fold.step import Call
from projections.readmodels.freehand import cut_runs
from projections.release.fingerprint import fingerprint
from projections.release.lint import lint
from replay.evidence.address import is_written, parse_address


@event("thing-told", version=1)
class ThingTold:
    text: str


@dataclass(slots=True)
class Heard:
    stream: str
    texts: list = field(default_factory=list)


def make(name="ears"):
    projection = Projection(name)
    return projection, projection.table(Heard, key="stream")


@pytest.mark.parametrize(
    "statement",
    [
        "commit",
        "BEGIN",
        "  -- a remark\n ROLLBACK",
        "DROP TABLE heard",
        "COPY heard FROM STDIN",
        "SET search_path = public",
        "INSERT INTO heard VALUES (now())",
        "INSERT INTO heard VALUES (current_timestamp)",
        "SELECT gen_random_uuid()",
        "SELECT set_config('search_path', 'public', true)",
        "SELECT 1; COMMIT",
        'DELETE FROM "projections".parked',
        "DELETE FROM eventstore . event",
        "",
    ],
)
def test_refused(statement):
    """Statements that end the transaction, change the session, ask clocks or chance, or name our own schemas are refused."""
    assert refuse(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO heard VALUES ('COMMIT; now()')",
        "WITH a AS (SELECT 1) UPDATE heard SET stream = 'x';",
        "(SELECT 1) UNION (SELECT 2)",
        "SAVEPOINT a",
        "ROLLBACK TO SAVEPOINT a",
        'SELECT "now" FROM heard /* ; */',
    ],
)
def test_allowed(statement):
    """Reading and writing rows is allowed, whatever stands in quotes and remarks."""
    assert refuse(statement) is None


def test_spans_are_exclusive():
    """A table with a spans handler has no other one, whose turn would depend on batches."""
    _, heard = make()
    heard.spans(ThingTold)(lambda events, row: row)
    with pytest.raises(UsageError, match="spans handler and another one"):
        heard.on(ThingTold)(lambda event, row: row)


def test_spans_are_cut_anyhow():
    """A spans handler that minds only the order gives the same rows under any schedule; one that minds the cut is found out."""
    projection, heard = make()

    @heard.spans(ThingTold)
    def hear(events, row, envelopes):
        row = row or Heard(envelopes[0].stream)
        row.texts += [each.text for each in events]
        return row

    told = [(f"s-{number % 3}", ThingTold(str(number))) for number in range(40)]
    assert require_equal(projection, told)
    worse, other = make("worse")

    @other.spans(ThingTold)
    def count(events, row, envelopes):
        row = row or Heard(envelopes[0].stream)
        row.texts.append(len(events))
        return row

    with pytest.raises(AssertionError, match="not deterministic"):
        require_equal(worse, told)


def test_free_tables():
    """SQL handlers write the tables that nobody folds."""
    projection, heard = make()
    told = projection.table(Heard, key="stream", name="told")
    told.on(ThingTold)(lambda event, row: row)
    projection.sql(ThingTold)(lambda connection, event: None)
    assert [each.name for each in projection.free_tables] == ["heard"]
    assert not projection.owns(heard)
    assert not is_written(projection, parse_address(projection, ["stream=s"], "told").table)
    assert is_written(projection, parse_address(projection, ["stream=s"], "heard").table)


def test_fingerprint():
    """SQL and spans are part of the fingerprint, effects are not: what they do changes no row."""
    first, _ = make()
    first.sql(ThingTold)(lambda connection, event: None)
    second, _ = make()
    second.sql(ThingTold)(lambda connection, event: connection.execute(None))
    third, _ = make()
    third.sql(ThingTold)(lambda connection, event: None)
    third.effect(ThingTold, name="tell")(print_it)
    assert fingerprint(first) != fingerprint(second)
    assert fingerprint(first) == fingerprint(third)


def print_it(event):
    print(event)


def clocked(connection, event):
    from sqlalchemy import text

    connection.execute(text("INSERT INTO heard VALUES (now())"))


def test_lint():
    """A clock within a statement's text is found before it runs; what effects do outside is their business."""
    projection, _ = make()
    projection.sql(ThingTold)(clocked)
    projection.effect(ThingTold)(print_it)
    assert ["now gives another value" in str(each) for each in lint(projection)] == [True]


def test_runs():
    """What one batch handler gets in a row is one list; another handler between cuts it, so that the order of events holds."""
    calls = [Call(0, list, True, 1), Call(1, list, True, 2), Call(1, print, False, (3,)), Call(2, list, True, 4)]
    assert list(cut_runs(calls)) == [(list, ([1, 2],)), (print, (3,)), (list, ([4],))]


def test_effects():
    """An effect's key never changes, and its declaration is checked."""
    assert name_key("ears", "tell", UUID(int=1)) == "266efa08-3ee9-555c-83a1-394d8c97f476"
    assert name_key("ears", "tell", UUID(int=1)) != name_key("ears", "tell", UUID(int=2))
    projection, _ = make()
    for wrong in ({"begin": "tomorrow"}, {"begin": datetime(2026, 1, 1)}):  # noqa: DTZ001 - that is what is refused
        with pytest.raises(UsageError, match="begins"):
            projection.effect(ThingTold, **wrong)(print_it)
    projection.effect(ThingTold)(print_it)
    with pytest.raises(UsageError, match="two effects"):
        projection.effect(ThingTold)(print_it)
    alone = Projection("alone")
    alone.effect(ThingTold)(print_it)
    assert [each.name for each in Projections(alone)] == ["alone"]


@pytest.mark.parametrize("name", ["projections", "eventstore", "privacy", "public", "information-schema"])
def test_reserved(name):
    """No projection's views may lie in a schema of ours or of the server."""
    with pytest.raises(UsageError, match="belongs to others"):
        Projection(name)
