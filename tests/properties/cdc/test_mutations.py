"""Captured records, damaged: whatever a broken disk or a strange connector makes of them is decoded or refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cdc import Change, Modes
from cdc.change import Decoder
from eventstore.errors import UndecodableRecord
from tests.unit.cdc.test_types import DECLARED, STRINGS

FOLDER = Path(__file__).parents[2] / "fixtures" / "debezium"
MODES = st.sampled_from([Modes(), STRINGS, Modes("precise", "adaptive", "numeric", "base64"), Modes("double", "structured")])


def load(name: str) -> list[tuple[bytes | None, bytes]]:
    """Give keys and values of a file of captured records."""
    found = [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()]
    return [(each["key"] and each["key"].encode(), each["value"].encode()) for each in found if each["value"]]


WITH_SCHEMA = load("envelope-with-schema") + load("toast-by-type")
BARE = load("envelope-schemaless-string-modes")
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.just([])
    | st.just({})
    | st.just([None])
)


def decode(decoder: Decoder, key: bytes | None, value: bytes) -> None:
    """Decode, and require a change, nothing, or a refusal that says something."""
    found, told = None, "decoded without a word"
    try:
        found = decoder.decode(key, value)
    except UndecodableRecord as error:
        told = str(error)
    assert len(told) > 10
    assert found is None or (isinstance(found, Change) and isinstance(repr(found), str))


def replace_one(document: Any, steps: list[int], value: Any) -> None:
    """Put *value* somewhere into a parsed document; *steps* say where."""
    for number, step in enumerate(steps):
        places = list(document) if isinstance(document, dict) else list(range(len(document)))
        if not places:
            return
        place = places[step % len(places)]
        inner = document[place]
        if number == len(steps) - 1 or not isinstance(inner, (dict, list)) or not inner:
            document[place] = value
            return
        document = inner


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(WITH_SCHEMA), st.lists(st.integers(0, 60), min_size=1, max_size=7), VALUES, MODES, st.booleans())
def test_replaced(record, steps, value, modes, full):
    """One value of a record, of its schema or of its row, replaced by another of any type."""
    document = json.loads(record[1])
    replace_one(document, steps, value)
    written = json.dumps(document, separators=(",", ":")).encode("utf-8", "surrogatepass")
    decode(Decoder(full=full, modes=modes), record[0], written)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(BARE), st.lists(st.integers(0, 80), min_size=1, max_size=4), VALUES, MODES)
def test_replaced_without_schema(record, steps, value, modes):
    """The same without schemas, where a declaration says what the values are."""
    document = json.loads(record[1])
    replace_one(document, steps, value)
    decode(Decoder(columns=DECLARED, modes=modes), record[0], json.dumps(document).encode("utf-8", "surrogatepass"))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(WITH_SCHEMA + BARE), st.floats(0, 1), st.binary(max_size=4), st.integers(0, 4))
def test_damaged(record, place, inserted, removed):
    """Bytes replaced, inserted or cut away anywhere in the value and in the key."""
    for columns in (None, DECLARED):
        for side in (0, 1):
            document = record[side]
            if document is not None:
                start = int(place * len(document))
                broken = document[:start] + inserted + document[start + removed :]
                decode(Decoder(columns=columns), *((broken, record[1]) if side == 0 else (record[0], broken)))


def test_every_fixture():
    """Every captured record of a table decodes, and every other one is refused by what it is."""
    for key, value in WITH_SCHEMA:
        decode(Decoder(), key, value)
    changes = [Decoder(columns=DECLARED, modes=STRINGS).decode(key, value) for key, value in BARE]
    assert all(changes)
