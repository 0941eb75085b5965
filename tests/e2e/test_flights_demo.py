"""The flights demo as its users run it: a program of its own, on real servers."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from compose.settings import SERVERS
from compose.state import VARIABLES

AUDITS = ("after the import", "after the captured changes", "after the replay", "after the rollback", "at the end")
QUICK = ("--days", "2", "--speed", "20000")


@pytest.fixture
def environment(stack, tmp_path, topic_prefix):
    """Give the environment of a demo that works in a corner of its own on the session's servers."""
    known = stack.up(*SERVERS).known
    own = {"FLIGHTS_DEMO_NAME": f"demo-{topic_prefix}", "REFOLD_STACK_DIR": str(tmp_path)}
    return {**os.environ, **{VARIABLES[server]: known[server] for server in SERVERS}, **own}


@pytest.fixture
def demo(environment):
    """Give a function that starts the demo; whatever is left of it at the end is an error of the test, and is removed."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "examples.flights.demo", *arguments]
        root = Path(__file__).parents[2]
        started.append(subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def finish(process):
    """Wait for *process* and give what it printed; it must have succeeded."""
    text = process.communicate(timeout=300)[0].decode()
    assert process.returncode == 0, text
    return text


def programs_of(environment):
    """Give the processes that carry this demo's mark."""
    mark = f"FLIGHTS_DEMO={environment['REFOLD_STACK_DIR']}/{environment['FLIGHTS_DEMO_NAME']}"
    return [process for process in psutil.process_iter() if mark in _environment_of(process.pid)]


def _environment_of(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def databases_of(environment):
    """Give the demo's databases that the server has."""
    name = environment["FLIGHTS_DEMO_NAME"].replace("-", "_")
    with psycopg.connect(environment["REFOLD_POSTGRES_DSN"]) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [name]).fetchall()
    return [database for (database,) in rows]


def read_until(process, text):
    """Read what *process* prints up to a line that holds *text*, and give all of it."""
    heard = ""
    for line in process.stdout:
        heard += line.decode()
        if text in heard:
            return heard
    raise AssertionError(f"the demo ended without saying {text!r}, but {heard}")


def test_whole_story(demo, environment):
    """The demo holds every read model against the oracle five times, sees no wrong read over three swaps, and leaves nothing."""
    text = finish(demo(*QUICK))
    for when in AUDITS:
        assert re.search(rf"Oracle {when}.*\n +[\d.]+ s; [\d,]+ rows of 8 tables are equal", text), text
    assert "g1 v1 -> g2 v2 -> g1 v1 -> g2 v2" in text
    assert re.search(r"[\d,]+ reads, 0 wrong", text)
    sizes = [int(size) for size in re.findall(r"(\d+) MB", text.rpartition("largest memory:")[2])]
    assert 0 < max(sizes) <= 700
    assert (programs_of(environment), databases_of(environment)) == ([], [])


def test_after_kill(demo, environment):
    """A killed demo leaves programs behind; the next one ends them and plays; Ctrl-C in its midst removes all, and exits with 130."""
    killed = demo(*QUICK)
    read_until(killed, "begins to be played")
    killed.kill()
    killed.wait()
    left = programs_of(environment)
    assert len(left) >= 4
    again = demo(*QUICK)
    found = re.search(r"(\d+) programs of an earlier run were still there", read_until(again, "begins to be played"))
    assert found, "those that end by themselves may be gone by then"
    assert 1 <= int(found[1]) <= len(left)
    assert not [each for each in left if each.is_running()]
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=120)
    assert again.returncode == 130
    assert (programs_of(environment), databases_of(environment)) == ([], [])


def test_one_at_a_time(demo):
    """A second demo in the same folder says that another one is at work, and exits with 5."""
    first = demo(*QUICK)
    read_until(first, "==> Make databases")
    second = demo(*QUICK)
    said = second.communicate(timeout=60)[0].decode()
    assert second.returncode == 5
    assert "another demo is running" in said
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=120)
