"""Kafka Connect with Debezium's connector for PostgreSQL: one distributed worker, exactly-once, REST on the loopback only.

Distributed even though it is alone: only this mode has exactly-once sources, and configurations that survive a restart.
"""

from __future__ import annotations

from compose import probe
from compose.errors import ServerUnreachable
from compose.jvm import JvmServer
from compose.ports import LOOPBACK
from compose.process import Launch
from compose.settings import StackSettings

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


class Connect(JvmServer):
    """The worker that runs Debezium."""

    name = "connect"
    main = "org.apache.kafka.connect.cli.ConnectDistributed"

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
        options = configure(self.settings, bootstrap, str(self._library.plugins), port)
        return self._launch(options, self.settings.connect_heap_mb, home)

    def ask(self) -> probe.Answer:
        """Ask for version and plugin; a worker without Debezium is not ready."""
        answer = probe.ask_connect(self.address)
        if not answer.detail.startswith("Debezium"):
            raise ServerUnreachable(
                f"Kafka Connect at {self.address} runs {answer.detail}; see plugin.path in connect.properties."
            )
        return answer
