"""The state directory: one command at a time, private files, remembered ports."""

import os
import threading
from pathlib import Path

import pytest

from compose import ports
from compose.errors import StackHeld
from compose.state import State


def test_second_command_waits_and_gives_up(tmp_path: Path) -> None:
    """A directory that is held refuses the next command after its patience, naming the holder, with exit code 5."""
    with State(tmp_path / "s").held(0), pytest.raises(StackHeld) as caught, State(tmp_path / "s").held(0.1):
        pass
    assert caught.value.exit_code == 5
    assert str(os.getpid()) in str(caught.value)


def test_second_command_goes_on_after_the_first(tmp_path: Path) -> None:
    """A waiting command goes on as soon as the first one is done, even when that has wiped the directory."""
    order: list[str] = []

    def wait() -> None:
        with State(tmp_path / "s").held(30):
            order.append("second")

    second = threading.Thread(target=wait)
    state = State(tmp_path / "s")
    with state.held(0):
        second.start()
        order.append("first")
        state.wipe()
    second.join()
    assert order == ["first", "second"]


def test_secrets_are_private(tmp_path: Path) -> None:
    """Password and `stack.env` can be read by their owner alone, and the password stays the same."""
    state = State(tmp_path / "s")
    state.make()
    state.publish({"postgres": f"postgresql://refold:{state.password()}@127.0.0.1:1/refold", "kafka": "127.0.0.1:2"})
    assert State(tmp_path / "s").password() == state.password()
    for name in ("password", "stack.env"):
        assert (state.directory / name).stat().st_mode & 0o777 == 0o600
    assert "REFOLD_KAFKA_BOOTSTRAP='127.0.0.1:2'" in state.env_file.read_text("utf-8")


def test_ports_are_remembered(tmp_path: Path) -> None:
    """A port once chosen is taken again, an asked one replaces it, and no two servers get the same."""
    state = State(tmp_path)
    taken = {key: state.take_port(key, 0) for key in ("postgres", "kafka", "controller", "connect")}
    assert len(set(taken.values())) == 4
    assert State(tmp_path).take_port("kafka", 0) == taken["kafka"]
    asked = ports.choose("asked", set(taken.values()))
    assert state.take_port("kafka", asked) == State(tmp_path).port("kafka") == asked


def test_remembering_side_by_side(tmp_path: Path) -> None:
    """Facts remembered by several threads at once are all kept."""
    state = State(tmp_path)
    threads = [threading.Thread(target=state.remember, kwargs={f"k{number}": number}) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [state.recall(f"k{number}") for number in range(16)] == list(range(16))


def test_wipe_keeps_what_is_not_ours(tmp_path: Path) -> None:
    """Wiping deletes the stack's files and leaves those of others in the same directory."""
    state = State(tmp_path / "s")
    with state.held(0):
        (state.directory / "kafka").mkdir()
        (state.directory / "notes").write_text("mine", "utf-8")
        state.wipe()
    assert [entry.name for entry in state.directory.iterdir()] == ["notes"]
