"""What becomes of hanging transactions, decided without a broker."""

import pytest

from eventstore.relay.loose import Loose, judge_loose
from eventstore.stream import START, Position

AT = {number: Position(number, 0) for number in range(10)}


@pytest.mark.parametrize(
    ("hanging", "stands", "verdicts"),
    [
        ({}, {0: AT[5]}, {}),
        ({4: AT[3]}, {0: AT[5]}, {0: Loose([4], True)}),
        ({4: AT[5]}, {0: AT[5]}, {0: Loose([4], True)}),
        ({4: AT[6]}, {0: AT[5]}, {0: Loose([4], False)}),
        ({4: AT[1]}, {0: START}, {0: Loose([4], False)}),
        ({0: AT[6], 4: AT[4]}, {0: AT[5]}, {0: Loose([0, 4], True)}),
        ({0: AT[6], 1: AT[3], 4: AT[7]}, {0: AT[5], 1: AT[5]}, {0: Loose([0, 4], False), 1: Loose([1], True)}),
        ({2: AT[3]}, {0: AT[5], 1: AT[5]}, {}),
    ],
)
def test_verdicts(hanging: dict[int, Position], stands: dict[int, Position], verdicts: dict[int, Loose]) -> None:
    """A shard behind the beginning of what hangs in its partitions has published it; one before it has not; others are let be."""
    assert judge_loose(hanging, stands, 6) == verdicts
