"""Kafka Streams, with RocksDB and a changelog topic: its jars by checksum, one class compiled, run on the Java that runs the broker."""

import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any

from benchmarks.ground import child
from compose.jars import LOCK, Library, read_lock
from compose.runtime import Java, find_java
from compose.settings import StackSettings

HERE = Path(__file__).parent
SOURCE = HERE / "Balances.java"
HEAP_MB = 1024


def fetch_jars(settings: StackSettings) -> str:
    """Fetch what is missing of the broker's jars, Kafka Streams and a compiler, and give the class path."""
    servers = tuple(each for each in read_lock(LOCK) if each.room == "servers")
    library = Library(settings.cache, (*servers, *read_lock(HERE / "streams.lock.toml")), settings.maven_url)
    library.fetch(lambda text: print(text, flush=True))
    return library.class_path


def compile_class(java: Java, class_path: str, folder: Path) -> None:
    """Compile with Eclipse's compiler, which needs no JDK."""
    options = ("-17", "-nowarn", "-proc:none", "-cp", class_path, "-d", str(folder), str(SOURCE))
    command = java.command(class_path, 256, "org.eclipse.jdt.internal.compiler.batch.Main", *options)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{SOURCE.name} does not compile:\n{done.stdout}{done.stderr}")


class Streams:
    """Kafka Streams, compiled and ready to be measured."""

    def __init__(self, folder: Path, settings: StackSettings | None = None) -> None:
        chosen = settings or StackSettings()
        self._java = find_java(chosen.java_home)
        jars = fetch_jars(chosen)
        compile_class(self._java, jars, folder)
        self._class_path = f"{folder}:{jars}"

    def measure(self, bootstrap: str, topic: str, events: int, *, exactly_once: bool, threads: int = 2) -> dict[str, Any]:
        """Fold *events* of *topic* with *threads* threads; timed from the first record to the last commit."""
        guarantee = "exactly_once_v2" if exactly_once else "at_least_once"
        with tempfile.TemporaryDirectory() as state:
            name = f"{topic}.streams.{uuid.uuid4().hex[:8]}"  # so its topics go when those of the run do
            arguments = (bootstrap, topic, str(events), name, state, str(threads), guarantee)
            chosen = (f"-Xmx{HEAP_MB}m", "-XX:+UseParallelGC", "-cp", self._class_path)  # the fastest collector on two cores
            return child(str(self._java.program), *chosen, "Balances", *arguments)
