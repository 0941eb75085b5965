"""Kafka Connect with Debezium's connector for PostgreSQL: one distributed worker, exactly-once, REST on the loopback only.

Distributed even though it is alone: only this mode has exactly-once sources, and configurations that survive a restart.
"""

from __future__ import annotations

from collections.abc import Callable

from compose import probe
from compose.errors import ServerUnreachable
from compose.jars import Library
from compose.kafka import render, write_logging
from compose.ports import LOOPBACK
from compose.process import Launch
from compose.runtime import Java
from compose.server import Progress, Server
from compose.settings import StackSettings
from compose.state import State

GROUP = "refold-connect"
PROVIDERS = {"env": "EnvVar", "file": "File", "dir": "Directory"}


def configure(settings: StackSettings, bootstrap: str, plugins: str, port: int) -> dict[str, str]:
    """Compose connect.properties; the user's own lines come last and win."""
    options = {
        "bootstrap.servers": bootstrap,
        "group.id": GROUP,
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "offset.flush.interval.ms": "2000",
        "offset.storage.partitions": "1",
        "status.storage.partitions": "1",
        "listeners": f"http://{LOOPBACK}:{port}",
        "rest.advertised.host.name": LOOPBACK,
        "rest.advertised.port": str(port),
        "plugin.path": plugins,
        "plugin.discovery": "service_load",
        "exactly.once.source.support": "enabled",
        "scheduled.rebalance.max.delay.ms": "0",
        "config.providers": ",".join(PROVIDERS),
    }
    for kind in ("config", "offset", "status"):
        options[f"{kind}.storage.topic"] = f"{GROUP}-{kind}"
        options[f"{kind}.storage.replication.factor"] = "1"
    for name, kind in PROVIDERS.items():
        options[f"config.providers.{name}.class"] = f"org.apache.kafka.common.config.provider.{kind}ConfigProvider"
    return {**options, **settings.connect_options}


class Connect(Server):
    """The worker that runs Debezium."""

    name = "connect"

    def __init__(
        self, settings: StackSettings, state: State, progress: Progress, java: Callable[[], Java], library: Library
    ) -> None:
        super().__init__(settings, state, progress)
        self._java = java
        self._library = library

    @property
    def address(self) -> str:
        """The URL of the REST API."""
        return f"http://{LOOPBACK}:{self.state.port(self.name)}"

    def prepare(self) -> Launch:
        """Take the port and write the configuration."""
        port = self.state.take_port(self.name, self.settings.connect_port)
        bootstrap = self.settings.kafka_bootstrap or f"{LOOPBACK}:{self.state.port('kafka')}"
        home = self.state.directory / "connect"
        home.mkdir(exist_ok=True)
        config = self.state.directory / "connect.properties"
        config.write_text(render(configure(self.settings, bootstrap, str(self._library.plugins), port)), "utf-8")
        command = self._java().command(
            self._library.class_path,
            self.settings.connect_heap_mb,
            "org.apache.kafka.connect.cli.ConnectDistributed",
            str(config),
            options=(f"-Dlog4j2.configurationFile={write_logging(self.state)}",),
        )
        return Launch(command, home)

    def ask(self) -> probe.Answer:
        """Ask for version and plugin; a worker without Debezium is not ready."""
        answer = probe.ask_connect(self.address)
        if not answer.detail.startswith("Debezium"):
            raise ServerUnreachable(
                f"Kafka Connect at {self.address} runs {answer.detail}; see plugin.path in connect.properties."
            )
        return answer
