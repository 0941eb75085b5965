"""Sealing, for any data: opened again equal, and never in the open meanwhile."""

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import decode, encode
from eventstore.errors import PreconditionFailed
from eventstore.privacy.cipher import make_cipher, make_key
from eventstore.privacy.seal import find_headers, is_sealed, mask, name_header, open_all, open_value, seal_paths, seal_value

NAMES = st.sampled_from(["a", "b", "c/d", "$", "ü", "0"])
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(blacklist_characters="\0"), max_size=20)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)
STEPS = NAMES | st.just("*")
PATHS = st.integers(1, 3).flatmap(lambda depth: st.lists(st.tuples(*[STEPS] * depth), max_size=4))
"""Paths of one depth: in what a class declares none leads through another."""
KEY = uuid4()
HEADER, CIPHER = name_header(KEY), make_cipher(make_key())


def seal(data: Any, paths: Any, event_id: str) -> Any:
    return seal_paths(data, paths, lambda value, path: seal_value(value, CIPHER, HEADER, event_id, path))


@given(st.dictionaries(NAMES, VALUES, max_size=4), PATHS)
def test_round_trip(data: dict[str, Any], paths: Any) -> None:
    """What is sealed at any paths of any data opens to the same data, whichever values were sealed twice or not at all."""
    sealed = decode(encode(seal(decode(encode(data)), paths, "e")))
    assert open_all(sealed, lambda text, path: open_value(text, CIPHER, "e", path)) == decode(encode(data))


@given(st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=6, max_size=30), PATHS)
def test_nothing_in_the_open(secret: str, paths: Any) -> None:
    """A sealed document does not hold the value, and every key it needs is found without reading it."""
    data = {"a": secret, "b": [secret, {"c": secret}]}
    sealed = encode(seal(data, [("a",), ("b", "*"), *paths], "e")).decode()
    assert secret not in sealed
    assert find_headers([sealed, sealed.encode(), json.dumps(json.loads(sealed))]) == {HEADER}
    assert secret not in str(mask(decode(sealed)))


@given(VALUES, st.integers(0, 200), st.integers(1, 255))
def test_tampering(value: Any, place: int, change: int) -> None:
    """A changed byte, another event or another path never opens."""
    sealed = seal_value(value, CIPHER, HEADER, "e", "/a")
    assert is_sealed(sealed)
    text = sealed["$sealed"]
    for event_id, path in (("f", "/a"), ("e", "/b")):
        with pytest.raises(PreconditionFailed):
            open_value(text, CIPHER, event_id, path)
    index = 24 + place % (len(text) - 28)
    other = "A" if text[index] != "A" else chr(ord("B") + change % 20)
    with pytest.raises(PreconditionFailed):
        open_value(text[:index] + other + text[index + 1 :], CIPHER, "e", "/a")
