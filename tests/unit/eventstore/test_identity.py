"""Ids of events: made by the thousand, by many threads and in forked children, and never twice."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

from eventstore.identity import make_id

COUNT = 5_000


def test_version_seven() -> None:
    """An id is a UUID of version 7 whose first 48 bits are the milliseconds of now."""
    before = time.time_ns() // 1_000_000
    made = [make_id() for _ in range(COUNT)]
    after = time.time_ns() // 1_000_000
    assert {(each.version, each.variant) for each in made} == {(7, RFC_4122)}
    assert all(before <= each.int >> 80 <= after for each in made)


def test_all_bits_random() -> None:
    """All bits but those of time, version and variant are on in some ids and off in others."""
    made = [make_id().int for _ in range(COUNT)]
    chance = 0x0FFF_3FFF_FFFF_FFFF_FFFF
    seen_on = seen_off = 0
    for each in made:
        seen_on |= each & chance
        seen_off |= ~each & chance
    assert seen_on == seen_off == chance


def test_many_threads() -> None:
    """Threads that make ids at once never make the same one."""
    with ThreadPoolExecutor(8) as pool:
        made = [each for part in pool.map(lambda _: [make_id() for _ in range(COUNT)], range(8)) for each in part]
    assert len(set(made)) == len(made)


def test_after_fork() -> None:
    """A forked child draws chance of its own: what it makes, its parent does not."""
    make_id()  # so that chance is left when the process forks
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, b"".join(make_id().bytes for _ in range(100)))
        os._exit(0)
    os.close(write_end)
    told = b""
    while part := os.read(read_end, 4096):
        told += part
    os.close(read_end)
    os.waitpid(child, 0)
    theirs = {UUID(bytes=told[at : at + 16]).int & ((1 << 64) - 1) for at in range(0, len(told), 16)}
    ours = {make_id().int & ((1 << 64) - 1) for _ in range(300)}
    assert len(theirs) == 100
    assert not theirs & ours
