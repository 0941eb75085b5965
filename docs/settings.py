"""Writes docs/reference/settings.md from the settings classes, so that the reference can't disagree with the code: `make docs`."""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

MODULES = (
    "eventstore.settings",
    "eventstore.archive.settings",
    "projections.settings",
    "replay.settings",
    "cdc.connect.settings",
    "cdc.feed.settings",
    "compose.settings",
)
HEAD = """# Settings
Written by `make docs` from the settings classes; do not edit.

A setting is looked up in this order: the keyword given in code, the environment, the `stack.env` that `refold up` wrote (below
`REFOLD_STACK_DIR`, by default `.refold/`), the default.
The stack's own settings do not read `stack.env`: an address found there must not look like one that you gave.
Secrets are masked wherever a settings object is shown.
Times are seconds and sizes are bytes unless the name says otherwise.
"""


def find_settings() -> list[type[BaseSettings]]:
    """Give the settings classes, in the order of the reference."""
    found: list[type[BaseSettings]] = []
    for name in MODULES:
        module = importlib.import_module(name)
        own = (value for value in vars(module).values() if isinstance(value, type) and value.__module__ == name)
        found += [value for value in own if issubclass(value, BaseSettings)]
    return found


def render() -> str:
    """Write the whole page."""
    return HEAD + "".join(line for kind in find_settings() for line in _section(kind))


def _section(kind: type[BaseSettings]) -> Iterator[str]:
    yield f"\n## {kind.__name__}\n`{kind.__module__}`: {(kind.__doc__ or '').splitlines()[0]}\n\n"
    yield "| environment | default | meaning |\n|---|---|---|\n"
    for name, field in kind.model_fields.items():
        alias = field.validation_alias
        twin = alias.choices[-1] if hasattr(alias, "choices") else f"{kind.model_config.get('env_prefix', '')}{name}".upper()
        meaning = (field.description or "").partition(" Env REFOLD")[0].replace("|", "\\|")
        yield f"| `{twin}` | {_default(field)} | {meaning} |\n"


def _default(field: Any) -> str:
    if field.default_factory is not None:
        made = field.default_factory()
        return f"`{str(made).replace(str(Path.home()), '~')}`" if isinstance(made, Path) else f"`{made}`"
    value = field.default
    if value is None:
        return "none"
    return f"`{value.get_secret_value() if isinstance(value, SecretStr) else value}`"


if __name__ == "__main__":
    os.environ.pop("XDG_CACHE_HOME", None)
    Path(__file__).with_name("reference").joinpath("settings.md").write_text(render(), "utf-8")
