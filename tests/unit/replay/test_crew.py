"""Which partitions one process has to build together, and who gets which."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from cdc import CapturedTable
from projections import Projection
from projections.declaration.projection import EVENTS
from replay.construction.crew import find_obstacle, group_partitions, share_out
from tests.bank import chained, owned, release1, release3
from tests.bank.chained import AccountOverdrawn, accounts
from tests.bank.events import MoneyMoved
from tests.shop import goods, tally

ITEMS, PRICES = CapturedTable("shop", "public.item"), CapturedTable("shop", "public.price")
STREAMS = {EVENTS.name: 3, accounts.derived.name: 3}
COUNTS = {**STREAMS, ITEMS.name: 2, PRICES.name: 1}


@dataclass(slots=True)
class Thing:
    id: str


def declare(*tables):
    """Make a projection of *tables*, each a list of (source name, whether its rows have keys of their own)."""
    projection = Projection("things")
    for number, handlers in enumerate(tables):
        table = projection.table(Thing, key="id", name=f"t{number}")
        for name, keyed in handlers:
            key = (lambda _: "one") if keyed else None
            if name == EVENTS.name:
                table.on(MoneyMoved, key=key)(lambda event, row: row)
            elif name == accounts.derived.name:
                table.on(AccountOverdrawn, of=accounts, key=key)(lambda event, row: row)
            else:
                table.on_change(ITEMS if name == ITEMS.name else PRICES, key=key)(lambda change, row: row)
    return projection


def count(projection):
    return {each.name: COUNTS[each.name] for each in projection.sources}


HANDLERS = st.lists(
    st.tuples(st.sampled_from(sorted(COUNTS)), st.booleans()), min_size=1, max_size=3, unique_by=lambda each: each[0]
)


@given(st.lists(HANDLERS, min_size=1, max_size=3), st.lists(st.integers(0, 5), min_size=12, max_size=12))
def test_shares_no_row(tables, places):
    """No two groups ever touch the same row, nor two of them one captured table, and each partition is in one of them."""
    projection = declare(*tables)
    groups = group_partitions(projection, count(projection))
    owner = {partition: at for at, group in enumerate(groups) for partition in group}
    assert sorted(owner) == sorted((name, number) for name, most in count(projection).items() for number in range(most))
    assert sum(map(len, groups)) == len(owner)
    touched: dict[tuple[int, str], set[int]] = {}
    for number, handlers in enumerate(tables):
        for name, keyed in handlers:
            for own in range(6):  # a stream lies in one partition number wherever it is; rows of captured tables lie anywhere
                place = own % COUNTS[name] if name in STREAMS else places[own + 6 * (name == PRICES.name)] % COUNTS[name]
                touched.setdefault((number, "one" if keyed else str(own)), set()).add(owner[name, place])
    assert [row for row, who in touched.items() if len(who) > 1] == []
    for name in {ITEMS.name, PRICES.name} & set(count(projection)):
        assert len({owner[name, number] for number in range(COUNTS[name])}) == 1


def test_groups_are_small():
    """Partitions are kept apart unless a row forbids it: by stream over recorded and derived events, and by captured table."""
    both = declare([(name, False) for name in STREAMS])
    assert group_partitions(both, count(both)) == [tuple((name, number) for name in sorted(STREAMS)) for number in range(3)]
    mixed = declare([(EVENTS.name, False)], [(ITEMS.name, True)], [(PRICES.name, True)])
    assert [len(each) for each in group_partitions(mixed, count(mixed))] == [2, 1, 1, 1, 1]
    across = declare([(EVENTS.name, False), (PRICES.name, False)])
    assert len(group_partitions(across, count(across))) == 1
    uneven = {EVENTS.name: 3, accounts.derived.name: 2}
    assert len(group_partitions(both, uneven)) == 1


def test_obstacles():
    """What is really shared by all partitions keeps a build in one process, by name; what is derived, or captured apart, does not."""
    for each in (owned.bank, chained.accounts, chained.alarms, tally.tally, release3.diary):
        assert find_obstacle(each) is None
    assert find_obstacle(release1.bank.projection) == "rows of kind_total are touched from several partitions"
    assert find_obstacle(chained.ranks) == "rows of rank are touched from several partitions"
    assert find_obstacle(release1.bank.projection, {"events": 1}) == "there is one partition to read"
    assert "rows of kind are touched" in find_obstacle(goods.goods, {goods.GOODS.name: 2})
    alone = declare([(ITEMS.name, False)])
    assert "says of all rows" in find_obstacle(alone, {ITEMS.name: 2})
    assert find_obstacle(alone) == "there is one partition to read"


def test_shares_out():
    """The largest groups go first to whom has least, and whole; one with nothing left goes to nobody."""
    left = {("t", 0): 5, ("t", 1): 9, ("t", 2): 0, ("t", 3): 4, ("t", 4): 1}
    single = [[each] for each in left]
    assert share_out(single, left, 2) == [[("t", 1), ("t", 4)], [("t", 0), ("t", 3)]]
    assert share_out(single, left, 9) == [[("t", 1)], [("t", 0)], [("t", 3)], [("t", 4)]]
    assert share_out([[("t", 0)]], {("t", 0): 0}, 2) == []
    pairs = [[("t", 0), ("t", 2)], [("t", 1)], [("t", 3), ("t", 4)]]
    assert share_out(pairs, left, 2) == [[("t", 1)], [("t", 0), ("t", 2), ("t", 3), ("t", 4)]]
