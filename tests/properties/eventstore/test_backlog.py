"""What was fetched is handed out whole, in order, and in bounded pieces."""

from hypothesis import given
from hypothesis import strategies as st

from eventstore.log.backlog import Backlog
from tests.bank.records import Raw

FETCHED = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3)), st.lists(st.binary(max_size=50), max_size=20), max_size=6
)


@given(FETCHED, st.integers(1, 30), st.integers(1, 300))
def test_hands_out_all_in_order(fetched, most_records, most_bytes):
    """Every record comes out once, in its partition's order; no batch is larger than asked but for its first record of a partition."""
    batch = {
        (topic, number): [Raw(topic, number, offset, 0, None, value) for offset, value in enumerate(values)]
        for (topic, number), values in fetched.items()
    }
    backlog = Backlog()
    backlog.put(batch)
    found = {each: [] for each in batch}
    while backlog:
        firsts = backlog.first_offsets()
        taken = backlog.take(most_records, most_bytes)
        assert taken
        assert sum(map(len, taken.values())) <= most_records
        for each, records in taken.items():
            assert records[0].offset == firsts[each]
            found[each] += records
        sizes = [len(record.value) for records in taken.values() for record in records]
        assert sum(sizes) <= most_bytes + 50 * len(taken)
    assert found == batch


def test_refuses_more():
    """Nothing is put behind what still waits, since its offsets could be the same ones again."""
    backlog = Backlog()
    backlog.put({("a", 0): [Raw("a", 0, 0, 0, None, b"x")]})
    try:
        backlog.put({("a", 0): [Raw("a", 0, 1, 0, None, b"y")]})
    except AssertionError:
        return
    raise AssertionError
