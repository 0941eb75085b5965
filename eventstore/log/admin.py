"""Making, describing and deleting topics and groups: the few administrative requests that refold needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self
from uuid import UUID

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupIdNotFound,
    GroupLoadInProgressError,
    KafkaConnectionError,
    KafkaError,
    NoError,
    NotCoordinatorForGroupError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from eventstore.errors import PreconditionFailed
from eventstore.log.client import connect_options, diagnose, unreachable
from eventstore.log.groups import DeleteGroups
from eventstore.log.identity import find_topic_ids
from eventstore.settings import KafkaSettings

_STARTING = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)
_PAUSE_S = 0.1
_SET_ON_TOPIC = 1
_untyped: Any = AIOKafkaAdminClient  # its answers have no types worth checking


class Admin:
    """A connection for administrative requests. Make one with `open`."""

    def __init__(self, client: Any, settings: KafkaSettings) -> None:
        self._client = client
        self._settings = settings

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings | None = None) -> AsyncGenerator[Self]:
        """Connect. Raises Unreachable with the address when no broker answers, now or to a request of the block."""
        chosen = settings or KafkaSettings()
        client = AIOKafkaAdminClient(**connect_options(chosen))
        try:
            await client.start()
            yield cls(client, chosen)
        except KafkaError as error:
            if isinstance(error, KafkaConnectionError) or error.retriable:
                raise await diagnose(chosen, error) from error
            raise
        except TimeoutError as error:
            raise unreachable(chosen, f"a request was not answered within {chosen.request_timeout_s:g} s") from error
        finally:
            await client.close()

    async def create_topic(self, name: str, partitions: int, config: Mapping[str, str] | None = None) -> bool:
        """Make topic *name*; False = it exists (with whatever partitions and configuration)."""
        new = NewTopic(name, partitions, self._settings.replication, topic_configs=dict(config or {}))
        answer = await self._client.create_topics([new])
        [(_, code, message, *_)] = answer.topic_errors
        if for_code(code) is TopicAlreadyExistsError:
            return False
        if for_code(code) is not NoError:
            raise PreconditionFailed(f"topic {name} with {partitions} partitions, {self._settings.replication} copies: {message}")
        return True

    async def partitions(self, name: str) -> int:
        """Give the number of partitions of topic *name*, 0 when it does not exist. Never creates it."""
        described: list[dict[str, Any]] = await self._client.describe_topics()
        return next((len(each["partitions"]) for each in described if each["topic"] == name), 0)

    async def wait_visible(self, name: str) -> int:
        """Give the number of partitions of topic *name* that was just made, by whomever: brokers hear of it a moment later.

        Raises Unreachable when none does within the request timeout.
        """
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                while not (found := await self.partitions(name)):  # noqa: ASYNC110 - the event is the broker's
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError as error:
            raise unreachable(self._settings, f"topic {name} exists and has no partition") from error
        return found

    async def topics(self) -> list[str]:
        """List the topics that begin with the configured prefix."""
        return sorted(each for each in await self._client.list_topics() if each.startswith(self._settings.topic_prefix))

    async def topic_ids(self, names: Iterable[str]) -> dict[str, UUID]:
        """Give Kafka's id of each existing topic of *names*: one that is made anew gets another. Empty from a broker without ids."""
        return await find_topic_ids(self._client._client, sorted(names))

    async def configuration(self, name: str) -> dict[str, str]:
        """Give the effective configuration of topic *name*, such as `retention.ms`. Raises PreconditionFailed without it."""
        [answer] = await self._client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        [(code, message, _, _, entries)] = answer.resources
        if code:
            raise PreconditionFailed(f"topic {name} on {self._settings.bootstrap}: {message or for_code(code).__name__}")
        return {entry[0]: entry[1] for entry in entries}

    async def describe(self, names: Iterable[str]) -> dict[str, tuple[int, dict[str, str], frozenset[str]]]:
        """Give each existing topic's partitions, effective configuration, and which of it was set on the topic itself."""
        wanted = set(names)
        described: list[dict[str, Any]] = await self._client.describe_topics()
        counts = {each["topic"]: len(each["partitions"]) for each in described if each["topic"] in wanted}
        if not counts:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, each) for each in counts]
        [answer] = await self._client.describe_configs(resources)
        found: dict[str, tuple[int, dict[str, str], frozenset[str]]] = {}
        for code, _, _, name, entries in answer.resources:
            if not code:
                own = frozenset(entry[0] for entry in entries if entry[3] == _SET_ON_TOPIC)
                found[name] = counts[name], {entry[0]: entry[1] for entry in entries}, own
        return found

    async def count_brokers(self) -> int:
        """Give the number of brokers."""
        return len((await self._client.describe_cluster())["brokers"])

    async def alter_topic(self, name: str, config: Mapping[str, str]) -> None:
        """Set options of topic *name*, and keep the others that were set on it. Raises PreconditionFailed with the broker's words."""
        described = await self.describe([name])
        if name not in described:
            raise PreconditionFailed(f"topic {name} on {self._settings.bootstrap} does not exist")
        _, there, own = described[name]
        whole = {**{option: there[option] for option in own}, **config}  # the request replaces all of them
        [answer] = await self._client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=whole)])
        [(code, message, *_)] = answer.resources
        if code:
            raise PreconditionFailed(f"topic {name} with {dict(config)}: {message or for_code(code).__name__}")

    async def delete_topics(self, names: Iterable[str]) -> None:
        """Delete topics; those that do not exist are passed over."""
        wanted = list(names)
        if wanted:
            answer = await self._client.delete_topics(wanted)
            _check(code for _, code in answer.topic_error_codes)

    async def delete_group(self, group: str) -> None:
        """Delete a consumer group and its offsets; one that does not exist is passed over. Refused while it has members."""
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                while not await self._try_delete(group):  # noqa: ASYNC110 - the event is the broker's
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError as error:
            raise unreachable(self._settings, f"no coordinator for group {group}") from error

    async def _try_delete(self, group: str) -> bool:
        """Delete *group*; False = a broker that just started has no coordinator for it yet."""
        try:
            coordinator = await self._client.find_coordinator(group)
            answer = await self._client._send_request_to_node(coordinator, DeleteGroups([group]))
            _check(code for _, code in answer.results)
        except _STARTING:
            return False
        return True


def _check(codes: Iterable[int]) -> None:
    for code in codes:
        kind: type[KafkaError] = for_code(code)
        if kind not in (NoError, UnknownTopicOrPartitionError, GroupIdNotFound):
            raise kind
