"""How many bytes topics take on the brokers: the DescribeLogDirs request, which aiokafka 0.14 lacks.

Source: Kafka protocol, API key 35, version 1. A broker that refuses it to this login, or does not know it, makes the size unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Int64, Schema, String

from eventstore.log.client import connect_options, diagnose
from eventstore.settings import KafkaSettings

_TOPIC = String("utf-8")
_untyped: Any = AIOKafkaAdminClient


class DescribeLogDirsResponse(Response):
    """For each directory of a broker, what it holds of each partition."""

    API_KEY = 35  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    API_VERSION = 1  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    SCHEMA: ClassVar[Schema] = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            Array(
                ("error_code", Int16),
                ("log_dir", String("utf-8")),
                (
                    "topics",
                    Array(
                        ("name", _TOPIC),
                        (
                            "partitions",
                            Array(("partition", Int32), ("size", Int64), ("offset_lag", Int64), ("is_future", Boolean)),
                        ),
                    ),
                ),
            ),
        ),
    )


class DescribeLogDirsVersion1(RequestStruct):
    """The partitions that are asked about."""

    API_KEY = 35
    API_VERSION = 1
    RESPONSE_TYPE = DescribeLogDirsResponse
    SCHEMA: ClassVar[Schema] = Schema(("topics", Array(("topic", _TOPIC), ("partitions", Array(Int32)))))


class DescribeLogDirs(Request[DescribeLogDirsVersion1]):
    """Ask one broker."""

    API_KEY = 35

    def __init__(self, topics: Sequence[tuple[str, list[int]]]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[DescribeLogDirsVersion1]) -> DescribeLogDirsVersion1:
        """Give the request in the version that the broker speaks."""
        return request_struct_class(self._topics)


async def measure_topics(settings: KafkaSettings, topics: dict[str, int]) -> int | None:
    """Give the bytes that *topics* (with their numbers of partitions) take, each partition counted once; None when no broker tells."""
    client = _untyped(**connect_options(settings))
    wanted = [(name, list(range(count))) for name, count in topics.items()]
    found: dict[tuple[str, int], int] = {}
    try:
        await client.start()
        for broker in (await client.describe_cluster())["brokers"]:
            answer: Any = await client._send_request_to_node(broker["node_id"], DescribeLogDirs(wanted))
            for _, _, held in answer.results:
                for name, partitions in held:
                    for number, size, _, _ in partitions:
                        found[name, number] = max(size, found.get((name, number), 0))
    except KafkaConnectionError as error:
        raise await diagnose(settings, error) from error
    except KafkaError:
        return None
    finally:
        await client.close()
    return sum(found.values()) if found else None
