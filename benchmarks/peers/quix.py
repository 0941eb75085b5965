"""Quix Streams, with its state store and changelog topic: the same fold, in a venv of its own, whose pins are not ours.

As a program it is run by that venv's Python and imports nothing of refold; `measure` starts it.
"""

import json
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

REQUIREMENT = "quixstreams==3.28.1"


def make_python(cache: Path) -> Path:
    """Make the venv, or find it, and give its Python."""
    import subprocess
    import venv

    folder = cache / "peers" / REQUIREMENT.replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"installing {REQUIREMENT} in {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT, "orjson"]
        subprocess.run(install, check=True)
        (folder / "ready").touch()
    return python


def measure(bootstrap: str, topic: str, events: int) -> dict[str, Any]:
    """Fold *events* of *topic*; timed from the first record to the last commit."""
    from benchmarks.ground import child
    from compose.settings import StackSettings

    with tempfile.TemporaryDirectory() as state:
        python = make_python(StackSettings().cache)
        return child(str(python), __file__, bootstrap, topic, str(events), state)


def fold(bootstrap: str, topic: str, events: int, state: str) -> dict[str, Any]:
    """Run the application until it has seen all *events*."""
    import orjson
    from quixstreams import Application

    began: list[float] = []
    held: dict[str, int] = {}
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"{topic}.quix.{uuid.uuid4().hex[:8]}",
        auto_offset_reset="earliest",
        state_dir=state,
        loglevel="ERROR",
        consumer_extra_config={"isolation.level": "read_committed"},
    )

    def book(value: bytes, key: str, timestamp: int, headers: Any, state: Any) -> None:  # noqa: ARG001 - its signature
        if not began:
            began.append(time.perf_counter())
        cents, bookings = state.get("balance", (0, 0))
        made = cents + orjson.loads(value)["data"]["cents"], bookings + 1
        state.set("balance", made)
        held[key] = made[0]

    source = app.topic(topic, key_deserializer="str", value_deserializer="bytes")
    app.dataframe(source).apply(book, stateful=True, metadata=True)
    app.run(count=events, collect=False)
    return {"rate": events / (time.perf_counter() - began[0]), "cents": sum(held.values())}


if __name__ == "__main__":
    print(json.dumps(fold(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))
