"""How many different values there were, in bounded space: exact while they are few, within 2 % afterwards.

A sketch is bytes, so that it lies in a column beside the count that it gives. Up to 128 values it is their sorted 64-bit hashes, and
the count is exact; beyond, it is the 4,096 registers of a HyperLogLog (standard error 1.6 %). Which of both it is, and every byte of it,
depends only on the set of values: neither order nor repetition matters, and two sketches merge into that of the union. Source:
Flajolet et al., HyperLogLog (2007), with linear counting for small counts.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Final

FEW: Final = 128
BITS: Final = 12
REGISTERS: Final = 1 << BITS
_BIAS: Final = 0.7213 / (1 + 1.079 / REGISTERS)
_REST: Final = 64 - BITS


def hash_value(text: str) -> int:
    """Give 64 bits for a value's text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def add_hash(sketch: bytes, hashed: int) -> bytes:
    """Give *sketch* with one more value; the very same object when the value was there."""
    if len(sketch) == REGISTERS:
        register, rank = _place(hashed)
        if sketch[register] >= rank:
            return sketch
        return b"".join((sketch[:register], bytes((rank,)), sketch[register + 1 :]))
    mark = hashed.to_bytes(8, "big")
    low, high = 0, len(sketch) // 8
    while low < high:
        middle = (low + high) // 2
        if sketch[8 * middle : 8 * middle + 8] < mark:
            low = middle + 1
        else:
            high = middle
    if sketch[8 * low : 8 * low + 8] == mark:
        return sketch
    made = b"".join((sketch[: 8 * low], mark, sketch[8 * low :]))
    return made if len(made) <= 8 * FEW else _spread(_hashes(made))


def add_hashes(sketch: bytes, hashes: Iterable[int]) -> bytes:
    """Give *sketch* with many more values, in one go."""
    if len(sketch) != REGISTERS:
        known = set(_hashes(sketch)) | set(hashes)
        if len(known) <= FEW:
            return b"".join(each.to_bytes(8, "big") for each in sorted(known))
        return _spread(known)
    registers = bytearray(sketch)
    _raise_all(registers, hashes)
    return bytes(registers)


def merge(first: bytes, second: bytes) -> bytes:
    """Give the sketch of the union."""
    if len(second) != REGISTERS:
        return add_hashes(first, _hashes(second))
    if len(first) != REGISTERS:
        return add_hashes(second, _hashes(first))
    return bytes(map(max, first, second))


def estimate(sketch: bytes) -> int:
    """Give how many different values *sketch* has taken."""
    if len(sketch) != REGISTERS:
        return len(sketch) // 8
    raw = _BIAS * REGISTERS * REGISTERS / math.fsum(2.0**-rank for rank in sketch)
    empty = sketch.count(0)
    if raw <= 2.5 * REGISTERS and empty:
        return round(REGISTERS * math.log(REGISTERS / empty))
    return round(raw)


def _hashes(sketch: bytes) -> list[int]:
    return [int.from_bytes(sketch[each : each + 8], "big") for each in range(0, len(sketch), 8)]


def _spread(hashes: Iterable[int]) -> bytes:
    registers = bytearray(REGISTERS)
    _raise_all(registers, hashes)
    return bytes(registers)


def _raise_all(registers: bytearray, hashes: Iterable[int]) -> None:
    for each in hashes:
        register, rank = _place(each)
        registers[register] = max(registers[register], rank)


def _place(hashed: int) -> tuple[int, int]:
    """Give the register of a hash (its first bits) and its rank: where the first set bit of the rest is, from 1."""
    return hashed >> _REST, _REST - (hashed & ((1 << _REST) - 1)).bit_length() + 1
