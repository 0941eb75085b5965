"""Ids that follow from what caused them, so that doing the same thing again names the same events.

A retried command, a process that reads an event a second time, a task that was carried out but not crossed off: each gives its
events the ids that they had the first time, and the store records equal ids once.
"""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID

_TIME: Final = 0xFFFF_FFFF_FFFF << 80
_REST: Final = 0x0FFF_3FFF_FFFF_FFFF_FFFF
_SORTED: Final = frozenset({7, 8})


def derive_id(cause: UUID, *parts: object) -> UUID:
    """Make the id that *cause* gives to the thing named by *parts*: equal arguments, equal id.

    It keeps the time that a version 7 id begins with, so that derived ids land beside each other in an index too. Source: RFC 9562,
    5.8 (version 8).
    """
    text = "\0".join([str(cause), *map(str, parts)]).encode()
    chance = int.from_bytes(hashlib.sha256(text).digest()[:16], "big")
    time = cause.int & _TIME if cause.version in _SORTED else chance & _TIME
    return UUID(int=time | 0x8000_8000_0000_0000_0000 | (chance & _REST))
