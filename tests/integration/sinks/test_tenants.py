"""Sinks of a table with tenants, fed from streams of tenants: who reads says for whom, and gives keys without the tenant."""

from dataclasses import dataclass

import pytest

from eventstore.errors import UsageError
from projections import Projection, Projections, Search, Valkey
from projections.serving import Sinks
from tests.bank.events import AccountClosed, MoneyMoved


@dataclass(slots=True)
class Account:
    tenant: str
    account: str
    cents: int = 0


shared = Projection("bank", version=20)
accounts = shared.table(Account, key="account", tenant="tenant")
ranked = accounts.into(Valkey(ranked=["cents"]))
found = accounts.into(Search(text=["account"], exact=["cents"]))


@accounts.on(MoneyMoved)
def moved(event, row, envelope):
    row = row or Account(envelope.tenant, envelope.stream.partition("/")[2])
    row.cents += event.amount
    return row


@accounts.on(AccountClosed)
def closed(event, row):
    return None


app = Projections(shared)


async def test_each_sees_its_own(runs, log, ledger, places):
    """Rows of equal names are each tenant's own, made, changed and deleted; nobody reads for no tenant, or for a name that is none."""
    await log.write(
        [ledger.move("@acme/ada", 5), ledger.move("@zen/ada", 7), ledger.move("@zen/bob", 1), ledger.move("@acme/ada", 2)]
    )
    async with runs.worker(app):
        await runs.current(60)
        async with Sinks(runs.engine) as sinks:
            acme, zen = [await sinks.read(ranked, tenant=each) for each in ("acme", "zen")]
            assert [(await each.get("ada")).cents for each in (acme, zen)] == [7, 7]
            assert [row.account for row in await zen.ranked("cents")] == ["ada", "bob"]
            assert (await (await sinks.read(found, tenant="acme")).find("ada OR bob")).total == 1
            await log.write([ledger.note("account-closed", "@zen/ada")])
            await runs.current(60)
            assert [await zen.get("ada"), await zen.count(), await acme.count()] == [None, 1, 1]
            for wrong in ({}, {"tenant": "*"}, {"tenant": "acme:row"}):
                with pytest.raises(UsageError, match="tenant"):
                    await sinks.read(ranked, **wrong)
