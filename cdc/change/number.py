"""Numbers and bit strings, without a digit lost.

A Decimal is always built from text: arithmetic such as `scaleb` would round to the context's 28 digits, PostgreSQL's numeric
has up to 147,455.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from decimal import Decimal
from typing import Any

_LONGEST_BITS = 83_886_080  # PostgreSQL's limit for bit(n); an unlimited varbit claims more
_SPECIAL = {
    "NAN": Decimal("NaN"),
    "POSITIVE_INFINITY": Decimal("Infinity"),
    "NEGATIVE_INFINITY": Decimal("-Infinity"),
}


def read_bytes(text: str | bytes) -> bytes:
    """Read base64; bytes are what they are, as Avro has them. Raises ValueError for anything else."""
    if type(text) is bytes:
        return text
    return binascii.a2b_base64(text, strict_mode=True)


def read_hex(text: str) -> bytes:
    """Read the hexadecimal text of `binary.handling.mode=hex`."""
    return bytes.fromhex(text)


def read_url_safe(text: str) -> bytes:
    """Read the text of `binary.handling.mode=base64-url-safe`."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def read_float(value: float | str) -> float:
    """Read a float; NaN and the infinities are written as text."""
    return float(value)


def read_decimal(value: str) -> Decimal:
    """Read a decimal written as text, with Debezium's words for NaN and the infinities."""
    if type(value) is not str:
        raise ValueError(f"{value!r} was a JSON number and may have lost digits: use decimal.handling.mode=string")
    special = _SPECIAL.get(value)
    return Decimal(value) if special is None else special


def scale_decimal(scale: int) -> Callable[[str], Decimal]:
    """Give a reader of `precise` decimals: base64 of a big-endian two's complement number, *scale* digits after the point."""
    exponent = f"E{-scale}"

    def read(text: str) -> Decimal:
        if type(text) not in (str, bytes):
            raise ValueError(f"{text!r} was a JSON number and may have lost digits: leave the converter's decimal.format BASE64")
        return Decimal(f"{int.from_bytes(read_bytes(text), 'big', signed=True)}{exponent}")

    return read


def read_variable(value: dict[str, Any]) -> Decimal:
    """Read a decimal that brings its own scale (`numeric` without precision in `precise` mode)."""
    return scale_decimal(value["scale"])(value["value"])


def size_bits(length: int) -> Callable[[str], str]:
    """Give a reader of bit strings of *length* bits, as text of 0 and 1.

    Debezium sends the number only. A `bit(n)` is padded to n; leading zeros of a `varbit` are lost before they reach us.
    """
    width = f"0{length}b" if 0 < length <= _LONGEST_BITS else "b"

    def read(text: str) -> str:
        return format(int.from_bytes(read_bytes(text), "little"), width)

    return read
