"""A broker of a test's own, which it may kill, stop, or put behind a bad network: with one listener through a proxy, one without."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from compose.ports import LOOPBACK, choose
from compose.stack import Stack
from eventstore import KafkaSettings
from tests.stack.plugin import own_settings
from tests.stack.proxy import Proxy
from tests.stack.waiting import until


class Broker:
    """One Kafka. `near` is its address for those that no fault may touch, `far` leads through `proxy`, requests and answers alike."""

    def __init__(self, stack: Stack, proxy: Proxy, near: str) -> None:
        self._stack = stack
        self.proxy = proxy
        self.near = near
        self.far = proxy.address

    @property
    def process(self) -> psutil.Process:
        """The server's process."""
        found = self._stack.server("kafka").child.process()
        assert found is not None, "the broker does not run"
        return found

    async def kill(self) -> None:
        """End it as `kill -9` does, and start it again."""
        async with self.dead():
            pass

    @asynccontextmanager
    async def dead(self) -> AsyncIterator[None]:
        """End it as `kill -9` does, and start it again after the block."""
        process = self.process
        process.kill()
        await asyncio.to_thread(process.wait)
        try:
            yield
        finally:
            await asyncio.to_thread(self._stack.up, "kafka")

    @asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """Stop it with SIGSTOP for as long as the block lasts: connections stay open, nobody answers."""
        process = self.process
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.to_thread(until, lambda: _is_stopped(process), "every thread of the broker stands still")
            yield
        finally:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def settings(self, prefix: str, *, far: bool = False) -> KafkaSettings:
        """Give settings for this broker; short timeouts, since tests wait for them."""
        return KafkaSettings(bootstrap=self.far if far else self.near, topic_prefix=prefix, partitions=3, request_timeout_s=5.0)


def _is_stopped(process: psutil.Process) -> bool:
    """Say whether none of its threads runs on: a signal stops the first of them, which stops the others one by one."""
    try:
        return all(psutil.Process(each.id).status() == psutil.STATUS_STOPPED for each in process.threads())
    except psutil.NoSuchProcess:  # a thread that ended meanwhile
        return False


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Broker]:
    """Run a broker in *directory*."""
    ports: list[int] = []
    for name in ("near", "far", "controller"):
        ports.append(choose(f"{directory}:{name}", ports))
    near, far, controller = ports
    proxy = await Proxy(LOOPBACK, far).start()
    listeners = {"PLAINTEXT": near, "FAR": far, "CONTROLLER": controller}
    options = {
        "listeners": ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in listeners.items()),
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{near},FAR://{proxy.address}",
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
        "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{controller}",
        "group.min.session.timeout.ms": "1000",
        "broker.session.timeout.ms": "2000",  # a killed broker may register again that soon
        "broker.heartbeat.interval.ms": "500",
    }
    stack = Stack(own_settings(directory, kafka_port=near, kafka_options=options), print)
    try:
        await asyncio.to_thread(stack.up, "kafka")
        yield Broker(stack, proxy, f"{LOOPBACK}:{near}")
    finally:
        await asyncio.to_thread(stack.down, wipe=True)
        await proxy.stop()
