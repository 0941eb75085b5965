"""Changes over HTTP: a feed on a real server, from the real Kafka, for clients that leave, come back, lag, and may not see everything."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from cdc import CapturedTable
from cdc.feed import ChangeFeed, FeedSettings, Offer
from eventstore.log.admin import Admin
from eventstore.settings import KafkaSettings
from tests.integration.cdc.topic import Table
from tests.integration.eventstore.conftest import kafka
from tests.stack.serving import served
from tests.stack.waiting import eventually

__all__ = ["kafka"]
CUSTOMERS = CapturedTable("operations", "public.customer")


class Stream:
    """The events of one connection."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.last = ""
        self.beats = 0

    async def take(self, count: int, *, kind: str = "change") -> list[dict]:
        """Give the data of the next *count* events of a kind."""
        found: list[dict] = []
        event = ""
        async with asyncio.timeout(60):
            while len(found) < count:
                line = await anext(self._lines)
                name, _, value = line.partition(": ")
                if name == "event":
                    event = value
                elif name == "id":
                    self.last = value
                elif name == "data" and event == kind:
                    found.append(json.loads(value))
                elif line == ": beat":
                    self.beats += 1
        return found

    async def beat(self) -> None:
        """Wait for a heartbeat and its id."""
        async with asyncio.timeout(60):
            while not self.beats:
                self.beats += await anext(self._lines) == ": beat"
            self.last = (await anext(self._lines)).removeprefix("id: ")


@pytest.fixture
async def table(kafka: KafkaSettings) -> AsyncIterator[Table]:
    """Give the topic of two partitions."""
    topic = CUSTOMERS.topic(kafka)
    async with Admin.open(kafka) as admin:
        await admin.create_topic(topic, 2)
        await admin.wait_visible(topic)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    yield Table(producer, topic)
    await producer.stop()


@asynccontextmanager
async def following(client: httpx.AsyncClient, last: str = "", **query: str) -> AsyncIterator[Stream]:
    """Follow the feed, having seen *last*."""
    headers = {"last-event-id": last} if last else {}
    async with client.stream("GET", "/", params=query, headers=headers, timeout=60) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
        stream = Stream(answer.aiter_lines())
        if not last:
            await stream.take(1, kind="ready")
        yield stream


async def test_follow(kafka: KafkaSettings, table: Table) -> None:
    """A client sees every change once, also what happened while it was away, and begins where it wants to."""
    await table.write("c", 1, "Ada", "Bonn")
    async with served(ChangeFeed(Offer(CUSTOMERS), kafka=kafka)) as client:
        async with following(client) as stream:
            await table.write("c", 2, "Bob", "Bonn")
            await table.write("u", 2, "Bob", "Trier")
            first, second = await stream.take(2)
            assert (first["op"], first["key"], first["table"]) == ("inserted", {"id": 2}, "public.customer")
            assert second["row"] == {"id": 2, "name": "Bob", "city": "Trier"}
        await table.write("d", 2)
        await table.write("c", 3, "Cyd", "Mainz")
        async with following(client, stream.last) as stream:
            missed = {(each["op"], each["key"]["id"]) for each in await stream.take(2)}
            assert missed == {("deleted", 2), ("inserted", 3)}
            await table.write("u", 3, "Cyd", "Bonn")
            assert [each["op"] for each in await stream.take(1)] == ["updated"]
        async with following(client, **{"from": "beginning"}) as stream:
            assert len(await stream.take(6)) == 6


async def test_tenants_and_masks(kafka: KafkaSettings, table: Table) -> None:
    """A tenant sees its own rows and the columns that are shown; who has no tenant is refused; unknown tables and methods are too."""

    async def who(scope) -> str | None:
        return dict(scope["headers"]).get(b"x-city", b"").decode() or None

    offer = Offer(CUSTOMERS, hidden=("name",), tenant="city")
    async with served(ChangeFeed(offer, who=who, kafka=kafka)) as client:
        refused = await client.get("/")
        assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
        assert "public.customer is followed by tenants only" in refused.json()["detail"]
        client.headers["x-city"] = "Bonn"
        assert (await client.get("/?table=public.secret")).status_code == 400
        assert (await client.get("/", headers={"last-event-id": "nonsense"})).status_code == 400
        assert (await client.post("/")).status_code == 405
        async with following(client, table="public.customer") as stream:
            await table.write("c", 1, "Ada", "Trier")
            await table.write("c", 2, "Bob", "Bonn")
            await table.write("d", 1)
            await table.write("c", 4, "Cyd", "Bonn")
            assert [each["row"] for each in await stream.take(2)] == [{"id": 2, "city": "Bonn"}, {"id": 4, "city": "Bonn"}]


async def test_slow_client(kafka: KafkaSettings, table: Table) -> None:
    """A client that takes nothing is left behind without holding others up, and gets all of it, in order, when it takes again."""
    feed, count, wide = ChangeFeed(Offer(CUSTOMERS), kafka=kafka, settings=FeedSettings(behind_changes=10)), 350, "x" * 30_000
    async with served(feed) as client:
        slow = await connect_slowly(client.base_url.port or 80)
        async with following(client) as quick:
            for number in range(count):
                await table.write("u", 2, f"{number} {wide}", "Bonn")
            seen = [each["row"]["name"].partition(" ")[0] for each in await quick.take(count)]
            assert seen == [str(each) for each in range(count)]
        await eventually(lambda: left_behind(feed), "the slow client is left behind", 60)
        assert await read_slowly(slow, count) == seen


async def left_behind(feed: ChangeFeed) -> bool:
    """Tell whether a client's queue ran over."""
    return feed.hub.left_behind > 0


async def connect_slowly(port: int) -> socket.socket:
    """Ask for the feed over a socket with a small buffer, and read the answer's head only."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", port))
    await loop.sock_sendall(raw, b"GET / HTTP/1.1\r\nHost: feed\r\n\r\n")
    head = b""
    while b"event: ready" not in head:
        head += await loop.sock_recv(raw, 512)
    return raw


async def read_slowly(raw: socket.socket, count: int) -> list[str]:
    """Read on until *count* changes came; give the numbers in them."""
    loop, found, rest = asyncio.get_running_loop(), [], b""
    async with asyncio.timeout(60):
        while len(found) < count:
            rest += await loop.sock_recv(raw, 1 << 20)
            *blocks, rest = rest.split(b"\n\n")
            found += [each.split(b'"name":"')[1].split(b" ")[0].decode() for each in blocks if b'"name":"' in each]
    raw.close()
    return found


async def test_reset(kafka: KafkaSettings, table: Table) -> None:
    """A place that the log does not have is answered by a reset, and the feed goes on from now."""
    await table.write("c", 1, "Ada", "Bonn")
    place = "public.customer/0=99,public.customer/1=0"
    async with served(ChangeFeed(Offer(CUSTOMERS), kafka=kafka)) as client, following(client, place) as stream:
        [told] = await stream.take(1, kind="reset")
        assert told["lost"] == ["public.customer/0"]
        await table.write("c", 2, "Bob", "Bonn")
        assert [each["key"] for each in await stream.take(1)] == [{"id": 2}]


async def test_heartbeat(kafka: KafkaSettings, table: Table) -> None:
    """Silence is broken by comments that move the client's place, past changes too that it does not see."""

    async def nobody(_: object) -> str:
        return "nobody"

    offer, settings = Offer(CUSTOMERS, tenant="city"), FeedSettings(heartbeat_s=0.05)
    async with served(ChangeFeed(offer, who=nobody, kafka=kafka, settings=settings)) as client, following(client) as stream:
        await table.write("c", 2, "Bob", "Bonn")

        async def moved() -> bool:
            stream.beats = 0
            await stream.beat()
            return stream.last == "public.customer/0=1,public.customer/1=0"

        await eventually(moved, "the place moves past what is hidden", 60)
