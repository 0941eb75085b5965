"""What `projections parked` shows of a payload, and how bytes are kept."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import UsageError
from eventstore.privacy.seal import MARK
from projections.cli.parked import name_place, parse_place, show_payload
from projections.control.parking import Patience, read_headers, write_headers


def document(data):
    return json.dumps({"specversion": "1.0", "type": "x", "subject": "s", "data": data, "traceparent": "t"}).encode()


def test_masked_by_default():
    """Envelope and shape are shown, values are not, at any depth."""
    shown = show_payload(document({"a": [1, {"b": "secret"}], "c": None}), reveal=False)
    assert shown["type"] == "x"
    assert shown["data"] == {"a": ["<int>", {"b": "<str>"}], "c": None}
    assert "secret" not in json.dumps(shown)
    assert show_payload(b'{"payload": {"after": {"name": "secret"}}}', reveal=False) == {"payload": {"after": {"name": "<str>"}}}


def test_personal_stays_sealed():
    """Personal fields are never opened, whatever is asked for."""
    sealed = document({"name": {MARK: "AAAAAAAAAAAAAAAAAAAAAAAAciphertext"}, "plain": 1})
    revealed = show_payload(sealed, reveal=True)
    assert revealed["data"]["plain"] == 1
    assert "ciphertext" not in json.dumps(revealed)
    assert "sealed" in str(revealed["data"]["name"])


def test_unreadable_bytes():
    """Bytes that are no JSON are told by size and hash, and given in full only when asked for."""
    hidden = show_payload(b"\x00\xffsecret", reveal=False)
    assert set(hidden) == {"bytes", "sha256"}
    assert show_payload(b"\x00\xffsecret", reveal=True)["base64"] == "AP9zZWNyZXQ="
    assert show_payload(None, reveal=True) is None


def test_places():
    """A place is read as it is written; anything else is refused with the form."""
    assert parse_place(name_place(("a/b.events", 3, 17))) == ("a/b.events", 3, 17)
    with pytest.raises(UsageError, match="topic/partition@offset"):
        parse_place("a@1")


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.binary())))
def test_headers_keep_every_byte(headers):
    """Headers come back to the byte, through JSON that PostgreSQL takes."""
    written = json.loads(json.dumps(write_headers(headers)))
    assert "\\u0000" not in json.dumps(written).replace("\\\\", ""), "an escaped backslash is no escape"
    assert read_headers(written) == headers


def test_patience():
    """Pauses double up to the most, and end."""
    patience = Patience(4, 1.0, 5.0)
    assert [patience.wait_s(tried) for tried in range(6)] == [1.0, 2.0, 4.0, 5.0, None, None]
    assert Patience(0, 1.0, 5.0).wait_s(0) is None
