"""The whole way: an order is placed, money is asked for, and it comes or does not come in time."""

from __future__ import annotations

from tests.integration.process.conftest import Shop


async def test_paid_in_time(shop: Shop) -> None:
    """A placed order is billed, a received payment pays it, its timer is dropped, thanks are said once, and it is over."""
    await shop.place("order-1")

    async def billed() -> bool:
        return await shop.types("bill-order-1") == ["payment-requested"]

    async def thanked() -> bool:
        return (await shop.tasks())["call", "done"] == 1

    await shop.runs(billed, "the bill")
    await shop.pay("order-1")
    await shop.runs(thanked, "the thanks")
    assert await shop.types("order-1") == ["order-placed", "order-paid"]
    assert (await shop.tasks())["timeout", "cancelled"] == 1
    assert await shop.ask("SELECT instance FROM eventstore.process_instance WHERE completed_at IS NOT NULL") == [("order-1",)]


async def test_not_paid_in_time(shop: Shop) -> None:
    """An order that nobody pays is cancelled by its timeout; money that comes later is left to the bill."""
    await shop.place("order-1")

    async def billed() -> bool:
        return await shop.types("bill-order-1") == ["payment-requested"]

    async def cancelled() -> bool:
        return await shop.types("order-1") == ["order-placed", "order-cancelled"]

    async def nothing_waits() -> bool:
        [(position,)] = await shop.ask("SELECT xid::text || '.' || sequence FROM eventstore.process")
        return position == str(await shop.store.head()) and await shop.store.count() == 4

    await shop.runs(billed, "the bill")
    await shop.hurry("order-1")
    await shop.runs(cancelled, "the cancellation")
    await shop.pay("order-1")
    await shop.runs(nothing_waits, "the late payment to be read")
    assert await shop.types("order-1") == ["order-placed", "order-cancelled"]


async def test_causes_are_told(shop: Shop) -> None:
    """An event that a process brought about names its cause, and the story that it belongs to."""
    await shop.place("order-1")

    async def billed() -> bool:
        return await shop.types("bill-order-1") == ["payment-requested"]

    await shop.runs(billed, "the bill")
    [placed] = [each async for each in shop.store.read_stream("order-1")]
    [bill] = [each async for each in shop.store.read_stream("bill-order-1")]
    assert (bill.metadata["causationid"], bill.metadata["correlationid"]) == (str(placed.id), str(placed.id))
