"""What a replay decides before it does anything, and the small decisions on its way."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from eventstore.errors import HistoryIncomplete, PreconditionFailed
from projections.control.generation import UNFINISHED, Generation, State
from replay.cli import find_previous
from replay.collect import find_garbage
from replay.construction.builder import cut_batch
from replay.plan import Step, make_plan
from replay.progress import Measure, Meter, describe

AT = datetime(2026, 1, 1, tzinfo=UTC)
BOUNDS = {("t", 0): (0, 10), ("t", 1): (0, 32)}
IDENTITY = ("bank", 2, "new")


def generation(number, state, fingerprint="old", *, retire_at=None, **detail):
    schema = f"rm_bank_g{number}"
    return Generation(
        number, "bank", number, 1, fingerprint, state, schema, f"p.bank.g{number}", {"t": 2}, AT, AT, retire_at, detail
    )


def test_first_build():
    """Without any generation a new one is created from all records."""
    plan = make_plan([], IDENTITY, BOUNDS)
    assert (plan.step, plan.live, plan.target, plan.records, plan.partitions) == (Step.CREATE, None, None, 42, 2)
    assert "first build" in plan.lines()[1]


def test_beside_live():
    """Beside a live generation a new one is created, of the same code or of another."""
    live = generation(1, State.LIVE)
    assert make_plan([live], IDENTITY, BOUNDS).step is Step.CREATE
    again = make_plan([live], ("bank", 1, "old"), BOUNDS)
    assert (again.step, again.is_same_code) == (Step.CREATE, True)
    assert "same code" in again.lines()[1]


@pytest.mark.parametrize("state", sorted(UNFINISHED))
def test_resumes_own_build(state):
    """An unfinished build of the same code is resumed, whatever state it was left in."""
    begun = generation(2, state, "new")
    plan = make_plan([begun, generation(1, State.LIVE)], IDENTITY, BOUNDS)
    assert (plan.step, plan.target, plan.abandoned) == (Step.RESUME, begun, [])


def test_abandons_other_builds():
    """Unfinished builds of other code are abandoned, never gone on with."""
    other = generation(2, State.CAUGHT_UP, "other")
    plan = make_plan([other, generation(1, State.LIVE)], IDENTITY, BOUNDS)
    assert (plan.step, plan.target, plan.abandoned) == (Step.CREATE, None, [other])


@pytest.mark.parametrize(("noted", "step"), [("swapped", Step.FINISH), ("finished", Step.CREATE)])
def test_finishes_after_swap(noted, step):
    """A replay that was killed after its swap is finished; one that had ended is a new replay."""
    live = generation(2, State.LIVE, "new", replay=noted)
    assert make_plan([live], IDENTITY, BOUNDS).step is step
    assert make_plan([generation(2, State.LIVE, "new")], IDENTITY, BOUNDS).step is Step.CREATE, "made by a worker"


def test_incomplete_history():
    """A log that begins later is refused with every such partition and its first offset."""
    with pytest.raises(HistoryIncomplete, match=r"t\[0\] starts at 3, t\[1\] starts at 1,000") as caught:
        make_plan([], IDENTITY, {("t", 1): (1000, 2000), ("t", 0): (3, 10), ("u", 0): (0, 1)})
    assert caught.value.facts["cut"] == ["t[0]", "t[1]"]


def test_cuts_in_order():
    """A batch is cut into pieces of one partition each, none too long, nothing lost or moved."""
    batch = {("t", 0): list(range(25)), ("t", 1): list(range(100, 103))}
    pieces = list(cut_batch(batch, 10))
    assert [len(records) for piece in pieces for records in piece.values()] == [10, 10, 5, 3]
    for partition, records in batch.items():
        assert [each for piece in pieces for each in piece.get(partition, [])] == records
    assert list(cut_batch({}, 10)) == []


def test_garbage():
    """Failed generations and those retired past their grace are garbage; force takes all retired ones; live ones never."""
    known = [
        generation(5, State.LIVE),
        generation(4, State.RETIRED, retire_at=AT + timedelta(seconds=1)),
        generation(3, State.RETIRED, retire_at=AT),
        generation(2, State.FAILED),
        generation(1, State.DROPPED),
        generation(6, State.BUILDING),
    ]
    assert [each.number for each in find_garbage(known, AT, force=False)] == [3, 2]
    assert [each.number for each in find_garbage(known, AT, force=True)] == [4, 3, 2]


def move(to, origin):
    return {"to_generation": to, "from_generation": origin}


def test_previous():
    """A rollback goes to where the live generation took over from, by its newest move, also back and forth."""
    first, second, third = generation(1, State.RETIRED), generation(2, State.RETIRED), generation(3, State.LIVE)
    assert find_previous([third, second, first], [move(3, 2), move(2, 1), move(1, None)]) is second
    back = [generation(3, State.RETIRED), generation(2, State.LIVE), first]
    assert find_previous(back, [move(2, 3), move(3, 2), move(2, 1), move(1, None)]).number == 3


@pytest.mark.parametrize(
    ("known", "audit", "said"),
    [
        ([], [], "nothing is live"),
        ([generation(1, State.LIVE)], [move(1, None)], "bank g1 is the first"),
        ([generation(2, State.LIVE), generation(1, State.DROPPED)], [move(2, 1), move(1, None)], "bank g1 is dropped"),
    ],
)
def test_no_previous(known, audit, said):
    """Without a retired generation to go back to, a rollback is refused and says why."""
    with pytest.raises(PreconditionFailed, match=said):
        find_previous(known, audit)


def test_meter():
    """Rate and time to go come from a sliding window, so a slow start is forgotten."""
    now = [0.0]
    meter = Meter(window_s=10, clock=lambda: now[0])
    assert meter.measure(0, 1000) == Measure(0, 1000, 0.0, None)
    for second, done in ((10, 10), (20, 110), (30, 210)):
        now[0] = second
        measure = meter.measure(done, 1000)
    assert measure.rate == pytest.approx(10)
    assert measure.eta_s == pytest.approx(79)
    assert meter.measure(1000, 1000).eta_s == 0.0


def test_words_of_progress():
    """Progress in words has the count, the share, the rate, the time to go, and why it stands still."""
    assert describe(Measure(1500, 3000, 1000.4, 125.0)) == "1,500/3,000  50 %  1,000 records/s  eta 2:05"
    assert describe(Measure(5, 10, 0.0, None), "for Kafka").endswith("0 records/s  waiting: for Kafka")
    assert Measure(0, 0, 0.0, None).percent == 100.0
    assert Measure(12, 10, 0.0, None).percent == 100.0
    assert dataclasses.asdict(Measure(1, 4, 0.0, None))["total"] == 4
