"""Changes as Server-Sent Events: one long GET a client, which goes on where it was when the connection breaks.

The id of every event is the client's place in all topics; a browser's EventSource gives it back as `Last-Event-ID`. A place that the log no
longer has is answered by an event `reset`: load the state anew, and go on from now. Source: HTML Living Standard, 9.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from cdc.feed.hub import Hub, Item, Queue, Reading
from cdc.feed.offer import Offer
from cdc.feed.settings import FeedSettings
from cdc.feed.vector import read_vector, write_vector
from eventstore.codec import encode
from eventstore.errors import HistoryIncomplete, PreconditionFailed, RefoldError, Unreachable, UsageError
from eventstore.log.assigned import AssignedReader
from eventstore.log.bounds import find_bounds
from eventstore.log.consumer import LogError, Partition
from eventstore.settings import KafkaSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Who = Callable[[Scope], Awaitable[str | None]]
_STREAM = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache, no-transform"), (b"x-accel-buffering", b"no")]
_PROBLEM = [(b"content-type", b"application/problem+json")]
_STATUS: dict[type[RefoldError], int] = {UsageError: 400, Unreachable: 503, PreconditionFailed: 503}


class Denied(RefoldError):
    """The client may not follow that table."""


class ChangeFeed:
    """An ASGI app that offers *offers* to clients. *who* gives a request's tenant, None = none; without it nobody has one.

    Query parameters: `table` (repeated) chooses tables, `from=beginning` begins at the log's start instead of now, `last_event_id`
    stands for the header of that name. An offer with a tenant column is refused (403) to a request without a tenant.
    """

    def __init__(
        self, *offers: Offer, who: Who | None = None, kafka: KafkaSettings | None = None, settings: FeedSettings | None = None
    ) -> None:
        self.settings = settings or FeedSettings()
        self._kafka = kafka or KafkaSettings()
        self._who = who
        self._offers = {each.source.topic(self._kafka): each for each in offers}
        if len(self._offers) < len(offers) or not offers:
            raise UsageError("a feed needs offers of different tables")
        self._topics = {each.source.table: topic for topic, each in self._offers.items()}
        if len(self._topics) < len(offers):
            raise UsageError("two offers are of tables with one name: give each its own feed")
        self.hub = Hub(self._kafka, self._offers, self.settings.behind_changes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the whole app when the feed is all of it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        if scope["type"] != "http":
            return
        if scope["method"] != "GET":
            await _refuse(send, 405, UsageError("a feed is read by GET"))
            return
        try:
            tenant, topics, start = await self._understand(scope)
            queue = await self.hub.open()
        except RefoldError as error:
            status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 403)
            await _refuse(send, status, error)
            return
        client = Client(self, send, tenant, topics)
        serving = asyncio.create_task(client.serve(queue, start))
        leaving = asyncio.create_task(_leave(receive))
        try:
            await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            serving.cancel()
            leaving.cancel()
            await asyncio.gather(serving, leaving, return_exceptions=True)
            self.hub.close(client.queue or queue)

    async def aclose(self) -> None:
        """End all clients; for the shutdown of the app that the feed is mounted in."""
        await self.hub.aclose()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _understand(self, scope: Scope) -> tuple[str | None, frozenset[str], dict[Partition, int] | str | None]:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        unknown = [each for each in query.get("table", []) if each not in self._topics]
        if unknown:
            raise UsageError(f"table {unknown[0][:80]!r} is not offered; there are {', '.join(sorted(self._topics))}")
        chosen = frozenset(self._topics[each] for each in query.get("table", self._topics))
        tenant = await self._who(scope) if self._who else None
        guarded = sorted(self._offers[topic].source.table for topic in chosen if self._offers[topic].tenant and tenant is None)
        if guarded:
            raise Denied(f"{', '.join(guarded)} is followed by tenants only, and this request has none")
        headers: Mapping[bytes, bytes] = dict(scope.get("headers", ()))
        last = headers.get(b"last-event-id", b"").decode("latin-1") or "".join(query.get("last_event_id", [])[-1:])
        if last:
            return tenant, chosen, read_vector(last, self._topics)
        return tenant, chosen, "beginning" if query.get("from", [""])[-1] == "beginning" else None

    def name_topics(self) -> dict[str, str]:
        """Give the table of each topic."""
        return {topic: table for table, topic in self._topics.items()}

    def make_reading(self) -> Reading:
        """Make a reading for a client that catches up."""
        return Reading(self._offers)

    def make_reader(self) -> AssignedReader:
        """Make a reader for a client that catches up."""
        return AssignedReader(self._kafka, f"{self._kafka.topic_prefix}.feed")

    async def find_first(self, partitions: list[Partition]) -> dict[Partition, int]:
        """Give where the log begins."""
        return (await find_bounds(self._kafka, partitions))[0]


class Client:
    """One connection: what it was sent and where it stands."""

    def __init__(self, feed: ChangeFeed, send: Send, tenant: str | None, topics: frozenset[str]) -> None:
        self.queue: Queue | None = None
        self._feed = feed
        self._send = send
        self._tenant = tenant
        self._chosen = topics
        self._names = feed.name_topics()
        self._vector: dict[Partition, int] = {}

    async def serve(self, queue: Queue, start: dict[Partition, int] | str | None) -> None:
        """Send all that comes from *start* on, until the client leaves or the hub ends."""
        self.queue = queue
        await self._send({"type": "http.response.start", "status": 200, "headers": _STREAM})
        self._vector = dict(queue.start)
        note = await self._begin(start)
        retry = round(self._feed.settings.reconnect_s * 1000)
        await self._write(f"retry: {retry}\n" + self._frame("reset" if note else "ready", note or b"{}"))
        try:
            while self._feed.hub.is_alive:
                await self._catch_up(self.queue.start)
                await self._follow(self.queue)
                if self._feed.hub.is_alive:
                    left, self.queue = self.queue, await self._feed.hub.open()
                    self._feed.hub.close(left)
        finally:
            with suppress(Exception):
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self, start: dict[Partition, int] | str | None) -> bytes | None:
        """Take the place where the client wants to begin; gives the reason when the log no longer has it."""
        if start is None:
            return None
        first = await self._feed.find_first(list(self._vector))
        if isinstance(start, str):
            self._vector = first
            return None
        now = self._vector
        wanted = {each: start.get(each, now[each]) for each in now}
        lost = [f"{self._names[each[0]]}/{each[1]}" for each in now if not first[each] <= wanted[each] <= now[each]]
        if lost:
            return encode({"reason": "the log no longer has what came since: load the state anew", "lost": lost})
        self._vector = wanted
        return None

    async def _catch_up(self, goal: dict[Partition, int]) -> None:
        """Read the log from where the client stands up to *goal*, as fast as it takes it."""
        behind = {each: offset for each, offset in self._vector.items() if offset < goal[each]}
        if not behind:
            return
        reader, reading = self._feed.make_reader(), self._feed.make_reading()
        try:
            await reader.open(behind)
            reader.limit({each: goal[each] for each in behind})
            while any(self._vector[each] < goal[each] for each in behind):
                for records in (await reader.poll(0.5)).values():
                    for record in records:
                        await self._tell(reading.read(record))
                self._vector.update({each: max(offset, self._vector[each]) for each, offset in (await reader.seen()).items()})
        except (HistoryIncomplete, LogError):
            self._vector.update(goal)
            await self._write(self._frame("reset", encode({"reason": "the log was cut while it was read"})))
        finally:
            await reader.close()

    async def _follow(self, queue: Queue) -> None:
        """Send what the hub hands out, until the client was left behind."""
        while not queue.is_over:
            items = await queue.take(self._feed.settings.heartbeat_s)
            for item in items:
                await self._tell(item)
            if not items and not queue.is_over:
                await self._write(f": beat\nid: {self._place()}\n\n")

    async def _tell(self, item: Item) -> None:
        if item.offset <= self._vector[item.partition]:
            return
        self._vector[item.partition] = item.offset
        if item.partition[0] not in self._chosen:
            return
        for whose, document in item.said:
            if whose is None or whose == self._tenant:
                await self._write(self._frame(item.event, document))

    def _frame(self, event: str, document: bytes) -> str:
        return f"event: {event}\nid: {self._place()}\ndata: {document.decode()}\n\n"

    def _place(self) -> str:
        return write_vector(self._vector, self._names)

    async def _write(self, text: str) -> None:
        """Send; returns when the connection takes more."""
        await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _leave(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, status: int, error: RefoldError) -> None:
    document = encode({"type": "about:blank", "title": type(error).__name__, "status": status, "detail": str(error)})
    await send({"type": "http.response.start", "status": status, "headers": _PROBLEM})
    await send({"type": "http.response.body", "body": document})
