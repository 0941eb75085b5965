"""TCP ports on the loopback interface: choosing free ones, and naming who holds a taken one."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

import psutil

from compose.errors import PortTaken

LOOPBACK = "127.0.0.1"
# Below the range that Linux and macOS hand out to outgoing connections: a port remembered while the stack is down stays free.
CHOICES = range(20_000, 29_990)


def is_free(port: int) -> bool:
    """Say whether a server could listen on *port* now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def holder(port: int) -> str:
    """Name the program that listens on *port*, as far as this user may know it."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return "another program"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port and connection.pid:  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                break
    return "another program"


def claim(port: int, setting: str) -> int:
    """Return *port*, which the user gave by *setting*; raises PortTaken when another program listens there."""
    if not is_free(port):
        raise PortTaken(
            f"Port {port}, given by {setting}, is held by {holder(port)}. End that program, or give another port (0 = a free one).",
            port=port,
            setting=setting,
            holder=holder(port),
        )
    return port


def choose(seed: str, taken: Collection[int]) -> int:
    """Choose a free port that is not in *taken*; equal *seed*s try in the same order, so that two stacks rarely meet."""
    order = random.Random(seed)  # noqa: S311
    for _ in range(200):
        port = order.choice(CHOICES)
        if port not in taken and is_free(port):
            return port
    raise PortTaken(f"No free port was found in {CHOICES.start}-{CHOICES.stop} after 200 tries: give one by REFOLD_STACK_*_PORT.")
