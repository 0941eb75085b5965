"""The signs of life, second by second."""

import pytest

from projections.feeding.pulse import Pulse
from projections.feeding.worker import adapt_size


def lively(until=10, lag=0, applied=0):
    """A worker that works until second *until*."""
    pulse = Pulse("p g1", 0.0)
    for now in range(1, until + 1):
        pulse.turn(now, is_open=True)
        pulse.hear(now, lag, applied)
        pulse.committed = now
    return pulse


def test_works():
    """A worker that turns, hears and commits has nothing to complain of."""
    assert lively().judge(11.0, 5.0) == []


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [
        ("turn", "the loop has hung for 10 s"),
        ("hear", "Kafka has not answered for 10 s"),
        ("commit", "PostgreSQL has taken no checkpoint for 10 s"),
    ],
)
def test_each_sign_counts(missing, complaint):
    """Each sign that stops is complained of by itself, however lively the others are."""
    pulse = lively()
    for now in range(11, 21):
        if missing != "turn":
            pulse.turn(now, is_open=True)
        if missing != "hear":
            pulse.hear(now, 0, 0)
        if missing != "commit":
            pulse.committed = now
    told = pulse.judge(20.0, 5.0)
    assert any(each.startswith(complaint) for each in told)
    assert len(told) == (2 if missing == "turn" else 1), "a loop that hangs has no assignment that is known either"


def test_lag_without_progress():
    """Records that wait while none is applied are a complaint; a lag that shrinks or grows while work goes on is none."""
    assert lively(20, lag=5).judge(20.0, 5.0) == ["5 records wait and none was applied for 19 s"]
    pulse = lively(3)
    for now in range(4, 20):
        pulse.turn(now, is_open=True)
        pulse.hear(now, 100 + now, now)
        pulse.committed = now
    assert pulse.judge(20.0, 5.0) == []
    assert pulse.trend == pytest.approx(1.0, abs=6)


def test_no_assignment():
    """A worker that never gets its partitions is complained of, one that just began is not."""
    pulse = Pulse("p g1", 100.0)
    assert pulse.judge(101.0, 5.0) == []
    pulse.turn(106.0, is_open=False)
    pulse.hear(106.0, 0, 0)
    assert pulse.judge(106.0, 5.0) == ["no assignment of the consumer group for 6 s"]


def test_trend():
    """The trend is records a second over the window."""
    pulse = Pulse("p g1", 0.0)
    assert pulse.trend is None
    for now in range(10):
        pulse.hear(float(now), 1000 - 50 * now, now)
    assert pulse.trend == pytest.approx(-50.0)
    assert pulse.facts(9.0)["lag_trend_per_s"] == -50.0


@pytest.mark.parametrize(
    ("size", "records", "took_s", "expected"),
    [
        (500, 500, 4.0, 250),
        (500, 500, 0.1, 2000),
        (500, 100, 0.1, 500),
        (500, 500, 1.0, 500),
        (1, 1, 9.0, 1),
        (100_000, 100_000, 0.1, 100_000),
    ],
)
def test_batch_sizes(size, records, took_s, expected):
    """A batch that took too long makes the next smaller, a full one that was quick makes it larger, within bounds."""
    assert adapt_size(size, records, took_s, 2.0) == expected
