"""The wire format and the partitioner hold for every value, not only for the ones we thought of."""

from datetime import UTC, datetime
from typing import Any

from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Envelope, Position, Token, event, registry
from eventstore.codec import decode
from eventstore.log.partitioner import murmur2, partition_of
from eventstore.log.wire import REPEATED, compose_envelope, parse, position_of


@event("wire-property-anything", version=3)
class Anything:
    value: Any


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
envelopes = st.builds(
    Envelope,
    stream=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60),
    version=st.integers(1, 2**40),
    position=st.builds(Position, st.integers(1, 2**60), st.integers(1, 2**60)),
    id=st.uuids(),
    type=st.just("wire-property-anything"),
    schema_version=st.just(3),
    data=st.builds(Anything, json_values),
    metadata=st.dictionaries(texts | st.sampled_from(REPEATED), json_values, max_size=4),
    occurred_at=times,
    recorded_at=times,
    tags=st.frozensets(texts.filter(bool), max_size=3),
)


@given(envelopes, texts.filter(bool))
def test_round_trip(envelope: Envelope, source: str) -> None:
    """An envelope that was written is read back equal, and its document is a CloudEvent of the structured form."""
    written = compose_envelope(envelope, source)
    assert parse(written, registry) == envelope
    assert position_of(written) == envelope.position
    document = decode(written)
    assert (document["specversion"], document["source"], document["subject"]) == ("1.0", source, envelope.stream)
    for name in REPEATED:
        given_value = envelope.metadata.get(name)
        assert document.get(name) == (given_value if isinstance(given_value, str) else None)
    assert decode(document.get("tags", "[]")) == sorted(envelope.tags)


@given(st.binary(max_size=80))
def test_murmur2(data: bytes) -> None:
    """The hash agrees with an independent implementation for every length and byte."""
    assert murmur2(data) == reference(data)


@given(texts, st.integers(1, 1000))
def test_partition_in_range(stream: str, partitions: int) -> None:
    """Every stream has one partition, and always the same."""
    assert 0 <= partition_of(stream, partitions) < partitions
    assert partition_of(stream, partitions) == partition_of(stream, partitions)


@given(envelopes)
def test_token_round_trip(envelope: Envelope) -> None:
    """A token survives being handed on as text."""
    assert Token.parse(str(envelope.token)) == envelope.token
