"""Ports: taken ones are named with their holder, chosen ones are free and stay the same."""

import os
import socket
from collections.abc import Iterator

import pytest

from compose import ports
from compose.errors import PortTaken


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_taken_port_names_its_holder(taken: int) -> None:
    """Claiming a taken port fails with the port, the setting, and the program and pid that hold it."""
    with pytest.raises(PortTaken) as caught:
        ports.claim(taken, "REFOLD_STACK_KAFKA_PORT")
    for part in (str(taken), "REFOLD_STACK_KAFKA_PORT", f"(pid {os.getpid()})"):
        assert part in str(caught.value)
    assert (caught.value.exit_code, caught.value.facts["port"]) == (3, taken)


def test_free_port_is_claimed(taken: int) -> None:
    """A free port is returned as it was given."""
    free = ports.choose("any", {taken})
    assert ports.claim(free, "REFOLD_STACK_KAFKA_PORT") == free


def test_choice_avoids_others() -> None:
    """Equal seeds choose alike, never a port of the set to avoid, and always below the range of outgoing connections."""
    first = ports.choose("seed", set())
    second = ports.choose("seed", {first})
    assert first != second
    assert {first, second} <= set(ports.CHOICES)
