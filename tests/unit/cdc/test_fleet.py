"""Names and patterns of connectors, and what a command for several of them tells."""

from __future__ import annotations

import asyncio
import json

import pytest

from cdc.cli.fleet import Outcome, match_names, take_each
from eventstore.console import Output
from eventstore.errors import PreconditionFailed, TimedOut

KNOWN = ["bank", "shop-a", "shop-b"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        (["nobody"], ["nobody"]),
        (["shop-*"], ["shop-a", "shop-b"]),
        (["t.shop-[!a]", "b?nk"], ["shop-b", "bank"]),
        (["shop-b", "*", "t.bank"], ["shop-b", "bank", "shop-a"]),
        (["t.shop-a", "shop-a"], ["t.shop-a"]),
    ],
)
def test_match(given, expected):
    """Names stay as they are, patterns give what matches with or without our prefix, and none comes twice."""
    assert match_names(given, KNOWN, "t") == expected


@pytest.mark.parametrize("given", [["SHOP-*"], ["bank", "x*"]])
def test_nothing_matches(given):
    """A pattern that matches nothing is refused with itself, the prefix and the names that there are."""
    with pytest.raises(PreconditionFailed, match=r"no connector matches '(SHOP-|x)\*'.* prefix t: bank, shop-a, shop-b"):
        match_names(given, KNOWN, "t")


async def act(name):
    """Fail for some names."""
    await asyncio.sleep(0)
    if name == "late":
        raise TimedOut("late is late", connector=name)
    return Outcome({"connector": name}, f"{name} done", 3 if name == "ill" else 0)


def test_outcomes(capsys):
    """One that fails leaves the others be: a line and a document each, the error beside them, the highest exit code."""
    assert asyncio.run(take_each(["late", "a", "ill"], act, Output(json=False))) == 4
    told = capsys.readouterr()
    assert told.out.splitlines() == ["late: TimedOut, exit code 4", "a done", "ill done"]
    assert "late is late" in told.err
    assert asyncio.run(take_each(["a", "late"], act, Output(json=True))) == 4
    late = {"connector": "late", "error": "TimedOut", "message": "late is late"}
    assert json.loads(capsys.readouterr().out) == [{"connector": "a"}, late]
    assert asyncio.run(take_each(["a"], act, Output(json=True))) == 0
    assert json.loads(capsys.readouterr().out) == [{"connector": "a"}]


def test_only_one():
    """The error of the only one is the command's, as if several could not be named; none at all is no failure."""
    with pytest.raises(TimedOut):
        asyncio.run(take_each(["late"], act, Output(json=False)))
    assert asyncio.run(take_each([], act, Output(json=False), "none")) == 0
