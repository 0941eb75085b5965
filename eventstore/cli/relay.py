"""`eventstore relay`: publish events to Kafka until stopped or drained; who relays what; how many partitions to begin with."""

from __future__ import annotations

import argparse
import asyncio
import signal
from dataclasses import asdict
from typing import Any

from eventstore.cli.program import add_command, open_store
from eventstore.console import Output, tune_collector

_APPLICATION = "eventstore relay"


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(
        commands, "relay", "Publish events to Kafka in order until stopped (SIGTERM, SIGINT), sharing with other relays.", relay
    )
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--drain", action="store_true", help="publish what is there now, then end")
    ways.add_argument("--shards", action="store_true", help="show who relays which shard, and who waits; publish nothing")
    ways.add_argument(
        "--plan", type=float, metavar="RATE", help="say how many partitions RATE events a second need; publish nothing"
    )
    parser.add_argument("--read-rate", type=float, metavar="RATE", help="with --plan: events a second that one worker folds")
    parser.add_argument("--write-rate", type=float, metavar="RATE", help="with --plan: events a second that one partition takes")


async def relay(arguments: argparse.Namespace, output: Output) -> int:
    """Relay until a signal comes, or until nothing is left with `--drain`."""
    if arguments.plan is not None:
        return _plan(arguments, output)
    if arguments.shards:
        return await _show_shards(output)
    from eventstore.relay import Relay

    tune_collector()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    async with open_store(application=_APPLICATION) as store:
        worker = Relay(store.engine)
        output.progress("relaying", drain=arguments.drain)
        done = await (worker.drain() if arguments.drain else worker.run(stop))
    facts = {"published": done.published, "position": str(done.position), "restarts": done.restarts}
    output.result(facts, f"published {done.published} events, up to position {done.position}")
    return 0


async def _show_shards(output: Output) -> int:
    from eventstore.postgres.shards import find_owners
    from eventstore.relay.share import count_shards, find_partitions
    from eventstore.settings import KafkaSettings

    kafka = KafkaSettings()
    async with open_store(application=_APPLICATION) as store:
        owners = await find_owners(store.engine, kafka.events_topic)
    shards = {each: list(find_partitions(each, kafka.partitions)) for each in range(count_shards(kafka.partitions))}
    free = sorted(set(shards) - {shard for each in owners for shard in each.shards})
    lines = [
        f"{each.application} from {each.host} (backend {each.pid}): "
        + (", ".join(f"shard {shard} (partitions {_list(shards.get(shard, []))})" for shard in each.shards) or "waits")
        for each in owners
    ]
    lines += [f"shard {each} (partitions {_list(shards[each])}): relayed by nobody" for each in free]
    facts = [{name: value for name, value in asdict(each).items() if name != "mine"} for each in owners]
    output.result({"topic": kafka.events_topic, "shards": shards, "relays": facts, "free": free}, "\n".join(lines))
    return 0


def _plan(arguments: argparse.Namespace, output: Output) -> int:
    from eventstore.relay.estimate import READ_RATE, WRITE_RATE, Estimate

    estimate = Estimate(arguments.plan, arguments.write_rate or WRITE_RATE, arguments.read_rate or READ_RATE)
    text = (
        f"{estimate.partitions} partitions for {estimate.target:g} events a second: max({estimate.target:g} / {estimate.write:g} written, "
        f"{estimate.target:g} / {estimate.read:g} folded by one worker). Plan for the highest rate that you expect ever: set "
        f"REFOLD_KAFKA_PARTITIONS={estimate.partitions} before the first relay starts, it can't change later."
    )
    output.result({**asdict(estimate), "partitions": estimate.partitions}, text)
    return 0


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
