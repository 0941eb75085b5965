"""What the two Java servers have in common: the java and the jars they run on, their properties files and their logging."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from compose.jars import Library
from compose.process import Launch
from compose.runtime import LOGGING, Java
from compose.server import Progress, Server
from compose.settings import StackSettings
from compose.state import State


class JvmServer(Server):
    """A server that runs on the stack's java from the resolved jars; *java* is looked for when it is first needed."""

    main: str
    """The Java class to start."""

    def __init__(
        self, settings: StackSettings, state: State, progress: Progress, java: Callable[[], Java], library: Library
    ) -> None:
        super().__init__(settings, state, progress)
        self._java = java
        self._library = library

    def _launch(self, options: Mapping[str, str], heap_mb: int, home: Path) -> Launch:
        """Write the configuration and say how to start in *home*."""
        command = self._java().command(
            self._library.class_path,
            heap_mb,
            self.main,
            str(self._configure(options)),
            options=(f"-Dlog4j2.configurationFile={write_logging(self.state)}",),
        )
        return Launch(command, home)

    def _configure(self, options: Mapping[str, str]) -> Path:
        path = self.state.directory / f"{self.name}.properties"
        path.write_text(render(options), "utf-8")
        return path


def render(options: Mapping[str, str]) -> str:
    """Write *options* as a Java properties file; backslashes would otherwise be taken for escapes."""
    escaped = ("{}={}".format(name, value.replace("\\", "\\\\")) for name, value in options.items())
    return "# Written by `refold up` at every start.\n" + "\n".join(escaped) + "\n"


def write_logging(state: State) -> Path:
    """Write the logging configuration of a Java server."""
    path = state.directory / "log4j2.properties"
    path.write_text(LOGGING, "utf-8")
    return path
