"""Scenarios and schedules agree: with a model of a few lines, with each other, and whatever the seed."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.testing import CapturedRows
from eventstore.log.partitioner import partition_of
from projections.chaos import Chaos
from projections.testing import Fold
from tests.bank.chained import AccountCovered, AccountOverdrawn, Rank, accounts, app, rank
from tests.bank.events import MoneyMoved
from tests.shop.goods import GOODS, Good, Kind, good, goods, kind

moves = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-3, 3)), max_size=25)
seeds = st.integers(0, 10_000)


def expect_derived(story: list[tuple[str, int]]) -> list[tuple[str, object]]:
    """Work out what the accounts derive."""
    cents: dict[str, int] = {}
    found: list[tuple[str, object]] = []
    for name, amount in story:
        was = cents.get(name, 0)
        now = cents[name] = was + amount
        found += [(name, AccountOverdrawn(name, now))] if now < 0 else []
        found += [(name, AccountCovered(name))] * 2 if was < 0 <= now else []
    return found


@settings(deadline=None, max_examples=40)
@given(story=moves, seed=seeds)
def test_chain_agrees(story: list[tuple[str, int]], seed: int) -> None:
    """What a chain derives, and the rows at its end, are those of the model, in a scenario and under any schedule, under equal ids."""
    told = [(name, MoneyMoved(name, amount, "deposit")) for name, amount in story]
    expected = expect_derived(story)
    times: dict[str, int] = {}
    ranks: dict[int, int] = {}
    for name, derived in expected:
        if isinstance(derived, AccountOverdrawn):
            times[name] = times.get(name, 0) + 1
            ranks[times[name]] = ranks.get(times[name], 0) + 1
    scenario = Fold(app, told).then_derives(*expected, of=accounts)
    scenario.then_rows(rank, *(Rank(*each) for each in ranks.items()))
    chaos = Chaos(app, seed)
    rows = chaos.run(told)
    assert {each: row.alarms for each, row in rows["ranks.rank"].items()} == ranks
    for name in "abc":
        found = chaos.derived.get(("accounts", name), [])
        assert [each.data for each in found] == [derived for stream, derived in expected if stream == name]
        followed = [each.envelope for each in scenario._play(accounts).followed if each.envelope.stream == name]
        assert [(each.id, each.metadata) for each in found] == [(each.id, each.metadata) for each in followed]
    require_order(chaos)


def require_order(chaos: Chaos) -> None:
    """Require that what the accounts derived lies in each partition in the order of its causes, numbered without gaps."""
    partitions = int(chaos.said[0].split()[2])
    derived = [each for (name, _), found in chaos.derived.items() for each in found if name == "accounts"]
    for number in range(partitions):
        mine = [each for each in derived if partition_of(each.stream, partitions) == number]
        mine.sort(key=lambda each: each.version)
        assert [each.version for each in mine] == list(range(1, len(mine) + 1))
        assert [each.position for each in mine] == sorted(each.position for each in mine)


steps = st.lists(st.tuples(st.integers(0, 4), st.sampled_from("wwwwwdts"), st.integers(0, 9)), max_size=25)


def tell(rows: CapturedRows, story: list[tuple[int, str, int]]) -> tuple[list[Any], dict[int, dict[str, Any]]]:
    """Make deeds of *story*, and give what the table holds in the end."""
    known: dict[int, dict[str, Any]] = {}
    told: list[Any] = []
    for key, what, price in story:
        row = {"id": key, "kind": f"k{key % 2}", "price": price}
        if what == "w":
            told.append(rows.update(**row) if key in known else rows.insert(**row))
            known[key] = row
        elif what == "d" and key in known:
            told.append(rows.delete(id=key))
            del known[key]
        elif what == "t":
            told.append(rows.truncate())
            known = {}
        elif what == "s":
            known = {**{each: row for each, row in known.items() if each > price // 2}, key: row}
            told.append(rows.snapshot(*known.values()))
    return told, known


@settings(deadline=None, max_examples=60)
@given(story=steps, seed=seeds, partitions=st.integers(1, 3))
def test_captured_agrees(story: list[tuple[int, str, int]], seed: int, partitions: int) -> None:
    """Rows of a captured table, and sums over them, are those of the source, in a scenario and under any schedule."""
    told, known = tell(CapturedRows(GOODS, key="id", partitions=partitions), story)
    kinds: dict[str, Kind] = {}
    for each in known.values():
        found = kinds.setdefault(each["kind"], Kind(each["kind"]))
        found.goods += 1
        found.worth += each["price"]
    Fold(goods, told).then_rows(good, *(Good(**each) for each in known.values())).then_rows(kind, *kinds.values())
    rows = Chaos(goods, seed).run(told)
    assert rows == {"good": {key: Good(**each) for key, each in known.items()}, "kind": kinds}
