"""Ranges and multiranges from PostgreSQL's text form, the only one Debezium sends."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cdc.change.moment import read_date, read_naive, read_zoned
from cdc.change.number import read_decimal

_BOUND = r'(?:"(?:[^"\\]|""|\\.)*"|[^"\\,()\[\]])*'
_RANGE = re.compile(rf"([\[(])({_BOUND}),({_BOUND})([\])])")
_ESCAPE = re.compile(r'\\(.)|"(")|"')

ELEMENTS: dict[str, Callable[[str], Any]] = {
    "int4": int,
    "int8": int,
    "num": read_decimal,
    "date": read_date,
    "ts": read_naive,
    "tstz": read_zoned,
}
"""What stands between the bounds of `<name>range` and `<name>multirange`."""


@dataclass(frozen=True, slots=True)
class Range:
    """Everything between two bounds; None is open, *bounds* is one of `[)`, `[]`, `(]`, `()`, or `` for the empty range."""

    lower: Any
    upper: Any
    bounds: str = "[)"

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in the range."""
        return not self.bounds

    def __str__(self) -> str:
        if self.is_empty:
            return "empty"
        return f"{self.bounds[0]}{_quote(self.lower)},{_quote(self.upper)}{self.bounds[1]}"


def _quote(value: Any) -> str:
    text = "" if value is None else str(value)
    return f'"{text}"' if " " in text else text


def _bound(text: str, element: Callable[[str], Any]) -> Any:
    if not text:
        return None
    return element(_ESCAPE.sub(lambda match: match[1] or match[2] or "", text))


def range_reader(element: Callable[[str], Any]) -> Callable[[str], Range]:
    """Give a reader of one range whose bounds *element* reads. It raises ValueError for text that is no range."""

    def read(text: str) -> Range:
        if text == "empty":
            return Range(None, None, "")
        match = _RANGE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a range")
        return Range(_bound(match[2], element), _bound(match[3], element), match[1] + match[4])

    return read


def multirange_reader(element: Callable[[str], Any]) -> Callable[[str], list[Range]]:
    """Give a reader of a multirange, as the list of its ranges."""
    one = range_reader(element)

    def read(text: str) -> list[Range]:
        inner = text[1:-1]
        if text[:1] + text[-1:] != "{}" or _RANGE.sub("", inner).strip(","):
            raise ValueError(f"{text!r} is not a multirange")
        return [one(match[0]) for match in _RANGE.finditer(inner)]

    return read
