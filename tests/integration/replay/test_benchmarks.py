"""The benchmark of rebuilds on a small topic: what it writes is what everyone folds."""

import asyncio

import pytest

from benchmarks import bare, ground
from benchmarks.accounts import make_events
from eventstore.settings import KafkaSettings


@pytest.mark.usefixtures("engine")
async def test_everyone_folds_the_same(kafka: KafkaSettings, used_topics: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic that is filled without the store reads as one that the relay wrote: the bare loop and a rebuild come to its sum."""
    monkeypatch.setenv("REFOLD_REPLAY_HANDOVER_S", "0")
    used_topics.append(kafka.events_topic)
    await ground.publish(0, 300, 20)
    await ground.publish(300, 500, 20)
    events = [new.event for begin, end in ((0, 300), (300, 500)) for _, new in make_events(end, 20, begin)]
    wanted = sum(each.cents for each in events)
    assert (await bare.measure(kafka.bootstrap, kafka.events_topic, kafka.partitions))["cents"] == wanted
    facts = await asyncio.to_thread(ground.replay, "balances")
    assert facts["state"] == "live"
    with ground.connect() as connection:
        found = connection.execute("SELECT sum(cents)::bigint, sum(bookings)::bigint FROM rm_balances_g1.balance").fetchone()
    assert found == (wanted, 500)
