"""Says how what was expected differs from what came, so that a failed test is understood without a debugger."""

from __future__ import annotations

import difflib
import pprint
from collections.abc import Iterable, Sequence


def compare(what: str, expected: Sequence[object], found: Sequence[object], facts: Iterable[str]) -> None:
    """Raise AssertionError unless *found* is *expected*, item by item; a class stands for any instance of it."""
    __tracebackhide__ = True
    if len(expected) == len(found) and all(map(fits, expected, found)):
        return
    lines = difflib.ndiff(_lines(expected, found), [line for each in found for line in show(each).splitlines()])
    shown = "\n".join(f"    {line.rstrip()}" for line in lines)
    raise AssertionError(f"{what} differ (- expected, + came):\n{shown or '    nothing'}\n{tell(facts)}")


def fits(expected: object, found: object) -> bool:
    """Tell whether *found* is what is *expected*."""
    return type(found) is type(expected) and found == expected if not isinstance(expected, type) else isinstance(found, expected)


def show(value: object) -> str:
    """Give *value* as text, over several lines when it is long."""
    return value.__name__ + "(…)" if isinstance(value, type) else pprint.pformat(value, width=100, sort_dicts=True)


def tell(facts: Iterable[str]) -> str:
    """Give *facts* as indented lines."""
    return "\n".join(f"  {each}" for each in facts)


def _lines(expected: Sequence[object], found: Sequence[object]) -> list[str]:
    """Give the lines of what was expected; where a class stood for what came, the lines of what came."""
    chosen = list(expected)
    for index, (one, other) in enumerate(zip(expected, found, strict=False)):
        if isinstance(one, type) and fits(one, other):
            chosen[index] = other
    return [line for each in chosen for line in show(each).splitlines()]
