"""What a sink may be declared for, and what of it counts as changed code."""

from dataclasses import dataclass

import pytest

from eventstore.errors import UsageError
from projections import Postgres, Projection, Search, Valkey
from projections.release.change import describe_parts, list_changes
from projections.release.fingerprint import fingerprint
from tests.bank.events import MoneyMoved


@dataclass(slots=True)
class Row:
    account: str
    cents: int = 0
    tags: list[str] | None = None


def declare(*places):
    """Make a projection whose table has copies in *places*."""
    projection = Projection("declared")
    table = projection.table(Row, key="account")
    table.on(MoneyMoved)(lambda event, row: row)
    for each in places:
        table.into(each)
    return projection


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Valkey(ranked=["account"]), "ranked column 'account' is str"),
        (Valkey(ranked=["nothing"]), "no field of Row"),
        (Search(text=["cents"]), "text column 'cents' is int"),
        (Search(exact=["tags"]), "exact column 'tags' is list"),
        (Search(), "name the columns"),
        (Search(text=["account"], exact=["account"]), "either text or exact"),
        (Search(text=["account"], language="xx"), "knows no stems"),
    ],
)
def test_refused(place, said):
    """A column that a place can't hold or find by is named when it is declared."""
    with pytest.raises(UsageError, match=said):
        declare(place)


def test_one_of_each_kind():
    """A table has at most one copy in each kind of place."""
    with pytest.raises(UsageError, match="has a copy in valkey already"):
        declare(Valkey(), Valkey(ranked=["cents"]))


def test_changed_sink_is_changed_code():
    """Sinks that come, go or change their columns give another fingerprint, and the plan names them."""
    plain, kept, ranked = declare(), declare(Valkey(), Postgres()), declare(Valkey(ranked=["cents"]))
    assert len({fingerprint(each) for each in (plain, kept, ranked)}) == 3
    assert list_changes(describe_parts(plain), describe_parts(kept)) == [
        "sink postgres:row is new",
        "sink valkey:row is new",
    ]
    assert list_changes(describe_parts(kept), describe_parts(ranked)) == ["sink postgres:row is gone", "sink valkey:row changed"]
