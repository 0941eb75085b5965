"""Tables with tenants, and rows with redacted values, without a server."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from cdc import CapturedTable
from eventstore.errors import UsageError
from eventstore.privacy import REDACTED
from projections import Projection
from projections.fold.route import Route
from projections.fold.sheet import Sheet
from projections.fold.step import describe
from projections.readmodels.policies import compose_policies
from projections.release.fingerprint import fingerprint
from tests.bank.events import MoneyMoved


@dataclass(slots=True)
class Row:
    tenant: str
    name: str
    kind: str = ""
    born: date | None = None
    count: int = 0


def declare(key: Any, tenant: str | None = "tenant") -> tuple[Projection, Any]:
    projection = Projection("tenants")
    return projection, projection.table(Row, key=key, tenant=tenant)


def route(table: Any) -> Any:
    return Route.of(Sheet(table, complete=True), table.projection.handlers[0])


def keep(event: Any, row: Any) -> Any:
    return row


def test_key_begins_with_tenant() -> None:
    """The tenant becomes the first part of the key, is not doubled, and can't come later."""
    assert declare("name")[1].key == ("tenant", "name")
    assert declare(("tenant", "name"))[1].key == ("tenant", "name")
    assert declare("name", None)[1].key == ("name",)
    with pytest.raises(UsageError, match="must come first"):
        declare(("name", "tenant"))
    with pytest.raises(UsageError, match="no field"):
        declare("name", "owner")


@pytest.mark.parametrize(
    ("given", "key_of", "expected"),
    [
        ("name", None, ("acme", "order-1")),
        ("name", lambda event: event.kind, ("acme", "fee")),
        (("name", "kind"), lambda event: (event.account, event.kind), ("acme", "a", "fee")),
    ],
)
def test_key_of_stream(given: Any, key_of: Any, expected: Any) -> None:
    """The tenant of the key comes from the stream, whatever the key function gives; a stream of none is refused."""
    _, table = declare(given)
    table.on(MoneyMoved, key=key_of)(keep)
    scope = route(table).scope
    assert scope(MoneyMoved("a", 1, "fee"), "@acme/order-1") == expected
    with pytest.raises(UsageError, match="of no tenant"):
        scope(MoneyMoved("a", 1, "fee"), "order-1")


def test_key_of_change() -> None:
    """A change has no stream, so its key, tenant first, is taken as it is."""
    _, table = declare("name")
    table.on_change(CapturedTable("crm", "public.people"))(keep)
    assert route(table).scope is None
    assert route(table).unpack(("acme", "ada")) == ("acme", "ada")


def test_policies_count() -> None:
    """A tenant column is part of the fingerprint, since the policies are part of the tables, and a table without has none."""
    with_tenant, without = declare(("tenant", "name")), declare(("tenant", "name"), None)
    for _, table in (with_tenant, without):
        table.on(MoneyMoved)(keep)
    assert fingerprint(with_tenant[0]) != fingerprint(without[0])
    assert (len(compose_policies(with_tenant[1], "s")), compose_policies(without[1], "s")) == (5, [])


def test_redacted_columns() -> None:
    """A redacted value is written as its text into a text, as nothing where nothing may stand, and is refused anywhere else."""
    _, table = declare("name")
    row = Row("acme", "a", REDACTED, REDACTED, 1)
    assert table.plain_values(row) == ("acme", "a", "[redacted]", None, 1)
    table.check(row, ("acme", "a"))
    row.count = REDACTED
    with pytest.raises(ValueError, match="count") as caught:
        table.check(row, ("acme", "a"))
    assert "withheld" not in describe(caught.value, private=True)
    assert "tenants" not in describe(caught.value, private=True)
    assert "int" in describe(caught.value, private=True)
    assert describe(KeyError("Ada"), private=True).startswith("KeyError: its words are withheld")
