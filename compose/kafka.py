"""Kafka from Maven jars: one node that is broker and KRaft controller at once, on the loopback only.

Internal topics have one partition each (the default of 50 costs seconds and hundreds of files on a laptop), groups rebalance
at once, nothing expires, and no topic is made by a typing error.
"""

from __future__ import annotations

import base64
import uuid
from pathlib import Path

from compose import probe
from compose.jvm import JvmServer
from compose.ports import LOOPBACK
from compose.process import Launch
from compose.settings import StackSettings
from compose.versions import pinned


def configure(settings: StackSettings, data: Path, port: int, controller: int) -> dict[str, str]:
    """Compose server.properties; the user's own lines come last and win."""
    listeners = f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller}"
    single = dict.fromkeys(
        (
            "offsets.topic.replication.factor",
            "offsets.topic.num.partitions",
            "transaction.state.log.replication.factor",
            "transaction.state.log.min.isr",
            "transaction.state.log.num.partitions",
            "share.coordinator.state.topic.replication.factor",
            "share.coordinator.state.topic.min.isr",
            "share.coordinator.state.topic.num.partitions",
        ),
        "1",
    )
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{controller}",
        "listeners": listeners,
        "advertised.listeners": listeners,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        **single,
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        "log.retention.ms": "-1",
        "log.retention.bytes": "-1",
        "log.cleaner.dedupe.buffer.size": str(32 << 20),
        **settings.kafka_options,
    }


class Kafka(JvmServer):
    """The log."""

    name = "kafka"
    main = "kafka.Kafka"

    @property
    def address(self) -> str:
        """The bootstrap address."""
        return f"{LOOPBACK}:{self.state.port(self.name)}"

    def prepare(self) -> Launch:
        """Take two ports, write the configuration, format the data directory once."""
        port = self.state.take_port(self.name, self.settings.kafka_port)
        controller = self.state.take_port("controller", 0)
        data = self.state.directory / "kafka"
        data.mkdir(exist_ok=True)
        options = configure(self.settings, data, port, controller)
        if not (data / "meta.properties").exists():
            self._format(self._configure(options))
        return self._launch(options, self.settings.kafka_heap_mb, data)

    def ask(self) -> probe.Answer:
        """Ask for the API versions; the release is that of the jars, which the protocol does not tell."""
        answer = probe.ask_kafka(self.address)
        return probe.Answer(pinned().kafka, answer.version)

    def _format(self, config: Path) -> None:
        """Give the directory a cluster id; one that was cut off is formatted again."""
        self.progress("kafka: formatting the log directory")
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ("format", "--standalone", "--ignore-formatted", f"--cluster-id={identity}", "-c", str(config))
        command = self._java().command(self._library.class_path, 256, "kafka.tools.StorageTool", *arguments)
        self.child.run(Launch(command, config.parent), self.settings.start_timeout_s)
