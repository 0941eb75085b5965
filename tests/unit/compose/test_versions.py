"""One list of versions rules processes, containers and jars."""

import re
import shutil
import subprocess
from pathlib import Path

from compose.jars import read_lock
from compose.lock import PROVIDED
from compose.versions import LIST, pinned

CONTAINERS = LIST.with_name("compose.yaml")


def newest(room: str) -> dict[str, str]:
    return {jar.artifact: jar.version for jar in read_lock() if jar.room == room}


def test_containers_have_the_pinned_versions() -> None:
    """Docker users get exactly the images of the pinned list, whose tags are the pinned versions."""
    images = re.findall(r"^\s+image: (\S+)$", CONTAINERS.read_text("utf-8"), re.MULTILINE)
    versions = pinned()
    assert tuple(images) == versions.images
    assert [image.rsplit(":", 1)[1] for image in images] == [versions.postgres, versions.kafka, versions.debezium]


def test_jars_have_the_pinned_versions() -> None:
    """The lock names the pinned Kafka, Connect, Debezium and log4j, so a changed pin without a new lock is caught."""
    servers, plugin, versions = newest("servers"), newest("debezium-postgres"), pinned()
    assert servers[f"kafka_{versions.scala}"] == servers["kafka-clients"] == versions.kafka
    assert servers["connect-runtime"] == servers["connect-api"] == versions.connect == versions.kafka
    assert servers["log4j-slf4j-impl"] == servers["log4j-core"] == versions.log4j
    assert plugin["debezium-connector-postgres"] == versions.debezium


def test_no_family_mixes_versions() -> None:
    """Jetty, Jersey, Jackson's core and Kafka each come in one version: a mixed Jetty keeps Connect from starting."""
    for family in (r"org\.eclipse\.jetty", r"org\.glassfish\.jersey", r"org\.apache\.kafka", r"io\.debezium"):
        found = {jar.version for jar in read_lock() if re.match(family, jar.group)}
        assert len(found) == 1, (family, found)


def test_plugin_brings_no_class_of_the_worker() -> None:
    """The plugin directory has none of the jars that the worker provides."""
    assert not set(PROVIDED) & set(newest("debezium-postgres"))


def test_lock_names_each_file_once() -> None:
    """Within a room no two entries claim the same file."""
    names = [(jar.room, jar.file_name) for jar in read_lock()]
    assert len(names) == len(set(names)) > 100


def test_docker_accepts_the_file(tmp_path: Path) -> None:
    """`docker compose config` takes the file, where that plugin exists; elsewhere its services are at least the three servers."""
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0:
        done = subprocess.run(
            [docker, "compose", "-f", str(CONTAINERS), "config", "-q"], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    services = CONTAINERS.read_text("utf-8").split("\nservices:\n")[1].split("\nvolumes:\n")[0]
    assert re.findall(r"^  (\w+):$", services, re.MULTILINE) == ["postgres", "kafka", "connect"]
