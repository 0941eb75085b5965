"""How shards are cut and shared, and how many partitions a rate needs: arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import UsageError
from eventstore.postgres.shards import Owner
from eventstore.relay.estimate import Estimate
from eventstore.relay.share import count_shards, find_partitions, find_share


@given(st.integers(1, 1000))
def test_every_partition_has_one_shard(partitions: int) -> None:
    """The shards of a topic hold each of its partitions once, and none is empty."""
    cut = [find_partitions(shard, partitions) for shard in range(count_shards(partitions))]
    assert sorted(each for shard in cut for each in shard) == list(range(partitions))
    assert all(cut)


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(1, 4))
def test_shares_add_up(members: list[bool], shards: int) -> None:
    """The shares of all members are all shards, differ by one at most, and who only drains has none."""
    shares = [
        find_share([Owner(n, "", "", n == me, member, ()) for n, member in enumerate(members)], shards)
        for me in range(len(members))
    ]
    taking = [share for share, member in zip(shares, members, strict=True) if member]
    assert sum(shares) == sum(taking) == (shards if taking else 0)
    assert not taking or max(taking) - min(taking) <= 1
    assert taking == sorted(taking, reverse=True)


@pytest.mark.parametrize(
    ("rates", "partitions"), [((500,), 1), ((100_000,), 10), ((100_000, 50_000, 60_000), 2), ((30_001, 10_000, 90_000), 4)]
)
def test_partitions_for_a_rate(rates: tuple[float, ...], partitions: int) -> None:
    """The slower of writing and folding decides, rounded up."""
    assert Estimate(*rates).partitions == partitions


def test_rates_are_positive() -> None:
    """A rate of zero is refused by name."""
    with pytest.raises(UsageError, match="read rate 0"):
        Estimate(1000, 1000, 0)
