"""How a build yields to the live generation: pure decisions over time."""

from hypothesis import given
from hypothesis import strategies as st

from replay.construction.pace import FED_S, LEAST, MOST_PAUSE_S, Lag, Pace
from replay.construction.watchdog import describe_wait

ENDS = {("t", 0): 100, ("t", 1): 50}


@given(st.lists(st.booleans()), st.floats(0, 100))
def test_share(looks, worked):
    """Whatever the looks say, the share stays between a twentieth and all of the time, and a pause is never longer than its limit."""
    pace = Pace()
    for far in looks:
        before = pace.share
        pace.judge(too_far=far)
        assert LEAST <= pace.share <= 1
        assert pace.share <= before if far else pace.share >= before
    assert 0 <= pace.pause(worked) <= MOST_PAUSE_S
    if pace.share == 1:
        assert pace.pause(worked) == 0


def test_halves():
    """Four looks that find too much lag leave a sixteenth of the time, of which one second of work costs two of rest at most."""
    pace = Pace()
    for _ in range(4):
        pace.judge(too_far=True)
    assert pace.share == 1 / 16
    assert pace.pause(0.1) == 0.1 * 15
    assert pace.pause(1) == MOST_PAUSE_S


def test_lag():
    """Lag counts records, and seconds since the log held the oldest record that is missing, whatever clock the records have."""
    lag = Lag()
    lag.observe(0, ENDS, {("t", 0): 100, ("t", 1): 50})
    assert (lag.records, lag.seconds) == (0, 0)
    lag.observe(1, {**ENDS, ("t", 1): 60}, {("t", 0): 100, ("t", 1): 50})
    lag.observe(4, {**ENDS, ("t", 1): 90}, {("t", 0): 100, ("t", 1): 55})
    assert (lag.records, lag.seconds) == (35, 3)
    lag.observe(5, {**ENDS, ("t", 1): 90}, {("t", 0): 100, ("t", 1): 60})
    assert (lag.records, lag.seconds) == (30, 1), "the records of second 1 are there, those of second 4 are not"


def test_fed():
    """A generation that never moved, or not for long, is fed by nobody."""
    lag = Lag()
    for second in range(3):
        lag.observe(second, ENDS, {("t", 0): 7})
    assert not lag.is_fed(3)
    lag.observe(3, ENDS, {("t", 0): 8})
    assert lag.is_fed(3)
    assert not lag.is_fed(3 + FED_S)


def test_wait():
    """A wait is told by who is in the way, or by what the server is at."""
    assert describe_wait("Lock", "relation", "COPY x", "psql (database session 7)") == (
        "for a lock that psql (database session 7) holds"
    )
    assert describe_wait("IO", "WALSync", "-- why\nCOPY\n x", None) == "for PostgreSQL (IO WALSync): COPY x"
    assert describe_wait("Client", "ClientRead", "COPY x", None) == "for this process"
    assert describe_wait(None, None, "SELECT 1", None) == "for PostgreSQL: SELECT 1"
