"""The README's app and the tutorial, run block by block on real servers, as a reader would.

`file=NAME` behind ```python writes the block to a file, behind ```diff changes that file. In a console block each line after `$ `
is run; one that ends with `&` stays in the background. The lines below it are its output, `…` standing for anything; `# exits N`
behind a command is the exit code that it must have. A port that a page names may be somebody else's here: the reader takes a free one.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import pytest

from compose.ports import choose

BLOCK = re.compile(r"^```(python|diff|console)(?: file=(\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
PORT = re.compile(r"--port (\d{4,})")
REPOSITORY = Path(__file__).resolve().parents[2]


class Reader:
    """Somebody who follows a page in a folder of their own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.background: list[subprocess.Popen[bytes]] = []
        self.ran: list[str] = []

    def follow(self, page: str) -> None:
        """Do everything that *page* says."""
        if found := PORT.search(page):
            page = page.replace(found[1], str(choose(str(self.folder), ())))
        for language, name, text in BLOCK.findall(page):
            if language == "console":
                self._run_all(text)
            elif language == "diff":
                self._change(self.folder / name, text)
            elif name:
                (self.folder / name).write_text(text, "utf-8")

    def stop(self) -> list[int]:
        """End what runs in the background, as Ctrl-C would, and give the exit codes."""
        for each in self.background:
            each.send_signal(signal.SIGINT)
        codes = [each.wait(60) for each in self.background]
        self.background.clear()
        return codes

    def _run_all(self, text: str) -> None:
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            command, _, code = command.partition(" # exits ")
            if not command.startswith("make "):
                self._run(command, expected.splitlines(), int(code or 0))

    def _run(self, command: str, expected: Sequence[str], code: int) -> None:
        self.ran.append(command)
        if command.endswith("&"):
            words = command.removesuffix("&").split()
            log = (self.folder / f"background-{len(self.background)}.log").open("wb")
            with log:
                self.background.append(subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=log, stderr=log))
            return
        try:
            done = subprocess.run(
                shlex.split(command), cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120
            )
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"$ {command}\n{error}{self._logs()}") from None
        logs = self._logs()
        assert done.returncode == code, f"$ {command}\n{done.stdout}{done.stderr}{logs}"
        assert matches(done.stdout, expected), f"$ {command}\n{done.stdout}\nis not\n{chr(10).join(expected)}{logs}"

    def _logs(self) -> str:
        """Give what the programs in the background have said."""
        return "".join(f"\n{path.name}:\n{path.read_text('utf-8')}" for path in sorted(self.folder.glob("*.log")))

    def _change(self, path: Path, text: str) -> None:
        source = path.read_text("utf-8")
        for before, after in hunks(text.splitlines()):
            assert source.count(before) == 1, f"{before!r} is {source.count(before)} times in {path.name}"
            source = source.replace(before, after)
        path.write_text(source, "utf-8")


def hunks(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give what each run of - lines becomes by the + lines after it."""
    runs = ["".join(line[1:] + "\n" for line in run) for _, run in groupby(lines, key=lambda line: line[:1])]
    return zip(runs[::2], runs[1::2], strict=True)


def matches(output: str, expected: Sequence[str]) -> bool:
    """Tell whether *output* is what the page shows; a page that shows nothing promises nothing."""
    pattern = "".join(r"(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + r"\n" for line in expected)
    return not expected or re.fullmatch(pattern, output.rstrip("\n") + "\n") is not None


@pytest.fixture
def reader(tmp_path: Path, postgres_dsn: str, kafka_bootstrap: str, topic_prefix: str) -> Iterator[Reader]:
    """Somebody with a database and a topic prefix of their own."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REFOLD_STACK_DIR": str(tmp_path / ".refold"),
        "REFOLD_POSTGRES_DSN": postgres_dsn,
        "REFOLD_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "REFOLD_KAFKA_TOPIC_PREFIX": topic_prefix,
    }
    reader = Reader(tmp_path, environment)
    yield reader
    for each in reader.background:
        each.kill()
        each.wait()


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial/first-read-model.md"])
def test_followed(page: str, reader: Reader) -> None:
    """Whoever follows the page gets what it shows, and everything in the background ends cleanly."""
    reader.follow((REPOSITORY / page).read_text("utf-8"))
    assert any(command.startswith("replay ") for command in reader.ran)
    assert set(reader.stop()) == {0}


@pytest.mark.parametrize(
    "page",
    [
        "docs/how-to/change-an-event.md",
        "docs/tutorial/decide-and-react.md",
        "docs/how-to/guard-a-rule.md",
        "docs/how-to/forget-a-person.md",
        "docs/how-to/archive-topics.md",
        "docs/how-to/mend-parked-records.md",
        "docs/how-to/do-things-outside.md",
        "docs/how-to/feed-one-projection-from-another.md",
        "docs/how-to/serve-a-web-app.md",
    ],
)
def test_how_to_followed(page: str, reader: Reader) -> None:
    """Whoever follows the page, mistakes included, gets what it shows."""
    if "master.key" in (REPOSITORY / page).read_text("utf-8"):
        file = str(reader.folder / "master.key")
        reader.environment |= {"REFOLD_PRIVACY_MASTER_KEY_FILE": file, "REFOLD_PRIVACY_CACHE_S": "0.1"}
    reader.follow((REPOSITORY / page).read_text("utf-8"))
    assert len(reader.ran) > 5
