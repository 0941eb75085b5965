"""Every setting has a meaning, a unit where it is a number, a default, and an environment twin that is told; and the reference is fresh."""

from __future__ import annotations

import importlib
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

UNITS = re.compile(
    r"\b(seconds?|minutes?|bytes?|mib|connections?|events?|rows?|records?|partitions?|copies|port|attempts?|how often|requests?|lines?|"
    r"streams?|tags?|items?|appends?|groups?|steps?)\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def generator(repository: Path) -> dict[str, Any]:
    return runpy.run_path(str(repository / "docs" / "settings.py"))


@pytest.fixture(scope="module")
def kinds(generator: dict[str, Any]) -> list[type[BaseSettings]]:
    return generator["find_settings"]()


def test_found(kinds: list[type[BaseSettings]], package_sources: dict[str, Any]) -> None:
    """The reference knows every settings class of the packages."""
    for path in package_sources:
        if path.endswith("settings.py"):
            module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
            own = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, BaseSettings)]
            assert {each for each in own if each.__module__ == module.__name__} <= set(kinds)


def test_described(kinds: list[type[BaseSettings]]) -> None:
    """Every field says what it means, names its environment twin, and a number names its unit."""
    faults: list[str] = []
    for kind in kinds:
        prefix = kind.model_config.get("env_prefix", "")
        for name, field in kind.model_fields.items():
            text = field.description or ""
            alias = field.validation_alias
            twins = (
                [each for each in alias.choices if isinstance(each, str)]
                if hasattr(alias, "choices")
                else [f"{prefix}{name}".upper()]
            )
            if not any(f"Env {twin}." in text for twin in twins):
                faults.append(f"{kind.__name__}.{name}: names no Env twin of {twins}")
            if field.annotation in {int, float} and not UNITS.search(text.partition("Env ")[0] + f" {name}"):
                faults.append(f"{kind.__name__}.{name}: no unit in {text!r}")
            if field.is_required():
                faults.append(f"{kind.__name__}.{name}: has no default")
    assert not faults


def test_fresh(generator: dict[str, Any], repository: Path) -> None:
    """docs/reference/settings.md is what `make docs` writes."""
    assert (repository / "docs" / "reference" / "settings.md").read_text("utf-8") == generator["render"]()
