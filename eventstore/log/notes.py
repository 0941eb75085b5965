"""Notes beside a topic: what its writer knows of a partition and no record says. Kept as the metadata of a group's offsets.

They are deleted with the topic, and expire when nobody has written for `offsets.retention.minutes` (a week): so a note may only
spare work, and what it says must stay true for as long as the topic lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka.errors import KafkaError, NoError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest

from eventstore.errors import Unreachable
from eventstore.log.admin import Admin
from eventstore.settings import KafkaSettings

_NO_GENERATION, _NO_MEMBER, _RETENTION = -1, "", -1


async def read_notes(settings: KafkaSettings, topic: str, group: str) -> dict[int, str]:
    """Give the note of each partition of *topic* that has one; none at all when Kafka can't say."""
    try:
        async with Admin.open(settings) as admin, asyncio.timeout(settings.request_timeout_s):
            client: Any = admin._client  # pyright: ignore[reportPrivateUsage]
            found = await client.list_consumer_group_offsets(group)
    except (KafkaError, TimeoutError, Unreachable):
        return {}
    return {each.partition: kept.metadata for each, kept in found.items() if each.topic == topic and kept.metadata}


async def write_notes(settings: KafkaSettings, topic: str, group: str, notes: Mapping[int, str]) -> bool:
    """Write the note of each partition in *notes*; False = Kafka did not take them, which costs nothing but the next start's time."""
    entries = [(partition, 0, note) for partition, note in notes.items()]
    request = OffsetCommitRequest(group, _NO_GENERATION, _NO_MEMBER, _RETENTION, [(topic, entries)])
    try:
        async with Admin.open(settings) as admin, asyncio.timeout(settings.request_timeout_s):
            client: Any = admin._client  # pyright: ignore[reportPrivateUsage]
            answer = await client._send_request_to_node(await client.find_coordinator(group), request)
    except (KafkaError, TimeoutError, Unreachable):
        return False
    return all(for_code(code) is NoError for _, partitions in answer.topics for _, code in partitions)
