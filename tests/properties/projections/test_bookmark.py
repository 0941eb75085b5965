"""Bookmarks and ETags: what travels through browsers comes back as it was, and means what it meant."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from eventstore.log.partitioner import partition_of
from eventstore.stream import Position, Token
from projections.serving import Bookmark
from projections.serving.bookmark import MOST
from projections.web.condition import is_known, make_etag
from projections.web.problem import Refused
from projections.web.seal import Seal
from projections.web.wish import read_wish, write_builds

NUMBERS = st.integers(0, 2**63 - 1)
POSITIONS = st.builds(Position, NUMBERS, NUMBERS)
MARKS = st.dictionaries(st.integers(0, 9999), POSITIONS, max_size=12).map(Bookmark)
TOKENS = st.lists(st.builds(Token, st.text(min_size=1, max_size=8), st.integers(1, 9), POSITIONS), max_size=20)
COOKIE_OCTETS = {*map(chr, range(0x21, 0x7F))} - {*'",;\\'}


def ask(headers=(), method="GET", query=""):
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in dict(headers).items()]
    return Request({"type": "http", "method": method, "path": "/", "query_string": query.encode(), "headers": pairs})


@given(MARKS)
def test_written_and_read(mark):
    """A bookmark that was written is read as the same, and every cookie may hold it as it is."""
    assert Bookmark.parse(str(mark)) == mark
    assert hash(Bookmark.parse(str(mark))) == hash(mark)
    assert set(str(mark)) <= COOKIE_OCTETS
    wish = read_wish(ask({"Refold-Token": str(mark), "Cookie": f"t={mark}"}), "t", query=False)
    assert wish.bookmark == mark


@given(MARKS, MARKS, MARKS)
def test_merged(one, two, three):
    """Merging forgets no write of either, in whichever order and however often."""
    assert one | two == two | one
    assert (one | two) | three == one | (two | three)
    assert (one | two) | two == one | two
    for each in (one, two):
        assert all((one | two).positions[partition] >= position for partition, position in each.positions.items())


@given(TOKENS, st.integers(1, 40))
def test_made_of_tokens(tokens, partitions):
    """A bookmark names the newest write of each partition, and no stream."""
    newest = {}
    for each in tokens:
        partition = partition_of(each.stream, partitions)
        newest[partition] = max(each.position, newest.get(partition, each.position))
    assert Bookmark.of(tokens, partitions).positions == newest


def test_bounded():
    """A bookmark of many partitions keeps the newest writes, and stays small enough for a cookie."""
    made = Bookmark({each: Position(2**63 - 1 - each, 2**63 - 1) for each in range(100)})
    assert set(made.positions) == set(range(MOST))
    assert len(str(made)) < 2000


@given(st.text(max_size=30))
def test_nonsense(text):
    """Whatever a client sends is a bookmark or refused, and nothing else."""
    with suppress(ValueError):
        assert Bookmark.parse(str(Bookmark.parse(text))) == Bookmark.parse(text)


@pytest.mark.parametrize("text", ["1:2", "x", "1:2.3,4:5.6", "1:99999999999999999999.1", "12345:1.1", "1:-1.1", "१:1.1"])
def test_refused(text):
    """Text that only resembles a bookmark is refused in a header and passed over in a cookie."""
    with pytest.raises(ValueError, match="looks like"):
        Bookmark.parse(text)
    assert not read_wish(ask({"Cookie": f"t={text}"} if text.isascii() else {}), "t", query=False).bookmark


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True), st.integers(0, 10**9 - 1)))
def test_builds(numbers):
    """What an answer says it was read from can be sent back as a wish."""
    assert read_wish(ask({"Refold-Generation": write_builds(numbers)}), "", query=False).generations == numbers


@pytest.mark.parametrize("text", ["orders", "orders=", "=7", "orders=7;revenue=3", "Orders=7", "orders=-1"])
def test_builds_refused(text):
    """What names no builds is refused."""
    with pytest.raises(Refused, match="names no builds"):
        read_wish(ask({"Refold-Generation": text}), "", query=False)


HEADERS = st.fixed_dictionaries(
    {}, optional={name: st.text("abc, =", max_size=6) for name in ("Accept", "Accept-Language", "Authorization")}
)
ASKED = st.tuples(st.text("ab", max_size=3), st.sampled_from([None, "a", "b"]), st.text("ab", max_size=3), HEADERS)


def told(headers):
    return tuple(headers.get(each, "") for each in ("Accept", "Accept-Language", "Authorization"))


@given(ASKED, ASKED)
def test_etags(one, two):
    """Two ETags are equal exactly if state, release, tenant and the headers that count are."""
    made = [make_etag(state, release, tenant, ask(headers), "") for state, tenant, release, headers in (one, two)]
    assert (made[0] == made[1]) == ((*one[:3], told(one[3])) == (*two[:3], told(two[3])))


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ('W/"a"', True),
        ('"a"', True),
        ('"x", W/"a" , "y"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
        ('W/"ab"', False),
        ("", False),
    ],
)
def test_known(told, known):
    """A client that names the ETag in any form has the answer; a method that changes something is never answered so."""
    assert is_known(ask({"If-None-Match": told}), 'W/"a"') == known
    assert is_known(ask({"If-None-Match": told}, "HEAD"), 'W/"a"') == known
    assert not is_known(ask({"If-None-Match": told}, "POST"), 'W/"a"')


@given(MARKS, st.lists(st.text("abc", min_size=1), min_size=1, max_size=3, unique=True), st.integers(0, 200))
def test_seal_tells_forged(mark, keys, place):
    """What a key sealed is read with it, however many came since; with another key, without seal, or with one sign changed it is not."""
    sealed = Seal([keys[0]]).write(str(mark))
    assert Seal.of(",".join(["newer", *keys])).read(sealed) == str(mark)
    assert Seal().write(str(mark)) == str(mark)
    if not mark:
        return
    at = place % len(sealed)
    changed = sealed[:at] + ("0" if sealed[at] != "0" else "1") + sealed[at + 1 :]
    for forged, known in ((sealed, "other"), (str(mark), keys[0]), (changed, keys[0]), (f"{mark}~", keys[0])):
        with pytest.raises(ValueError, match="gave out"):
            Seal([known]).read(forged)
