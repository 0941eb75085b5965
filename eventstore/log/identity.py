"""Which topic a name means now: Kafka gives every topic an id of its own, and a topic that is made anew gets another one.

aiokafka 0.14 speaks Metadata up to version 5, which has no ids. Source: Kafka protocol, API key 3, version 12.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, ClassVar
from uuid import UUID

from aiokafka.errors import LeaderNotAvailableError
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

_NOTHING = UUID(int=0)
_TEXT = CompactString("utf-8")


class Uuid(AbstractType[UUID]):
    """Sixteen bytes."""

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        """Write it."""
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        """Read it."""
        return UUID(bytes=data.read(16))


_PARTITION: Any = (
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline", CompactArray(Int32)),
    ("tags", TaggedFields),
)
_TOPIC: Any = (
    ("error_code", Int16),
    ("name", _TEXT),
    ("topic_id", Uuid),
    ("is_internal", Boolean),
    ("partitions", CompactArray(*_PARTITION)),
    ("operations", Int32),
    ("tags", TaggedFields),
)


class MetadataResponse12(Response):
    """Brokers, and topics with their ids."""

    API_KEY = 3  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    API_VERSION = 12  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    SCHEMA: ClassVar[Schema] = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(("node", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), ("tags", TaggedFields))),
        ("cluster_id", _TEXT),
        ("controller", Int32),
        ("topics", CompactArray(*_TOPIC)),
        ("tags", TaggedFields),
    )


class MetadataRequest12(RequestStruct):
    """Asks for topics by name."""

    FLEXIBLE_VERSION = True
    API_KEY = 3  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    API_VERSION = 12  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    RESPONSE_TYPE = MetadataResponse12
    SCHEMA: ClassVar[Schema] = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_operations", Boolean),
        ("tags", TaggedFields),
    )


class FindTopics(Request[MetadataRequest12]):
    """Describe topics, and make none of them."""

    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[MetadataRequest12]) -> MetadataRequest12:
        """Give the request in the version that the broker speaks."""
        return request_struct_class([(_NOTHING, each, {}) for each in self._names], False, False, {})


async def find_topic_ids(client: Any, names: list[str]) -> dict[str, UUID]:
    """Give the id of each topic of *names* that exists, over *client*'s connection to any broker.

    None at all from a broker before Kafka 2.8, which has no ids. Raises KafkaError when no broker answers.
    """
    node = client.get_random_node()
    if node is None:
        raise LeaderNotAvailableError("no broker is known")
    try:
        answer = await client.send(node, FindTopics(names))
    except NotImplementedError:
        return {}
    return {name: topic_id for code, name, topic_id, *_ in answer.topics if not code and topic_id != _NOTHING}
