"""The projections of one release of an app: what `--app module:name` points to."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from eventstore.errors import UsageError
from projections.declaration.chain import find_source, order_chain
from projections.declaration.join import check_joins
from projections.declaration.projection import Projection

PACKAGES = ("eventstore", "projections", "cdc", "replay", "compose")


class Projections:
    """A release's projections, by name. No two may share a name, since a name owns its tables."""

    def __init__(self, *projections: Projection) -> None:
        self._by_name: dict[str, Projection] = {}
        for each in order_chain(projections):
            if each.name in self._by_name:
                raise UsageError(f"two projections are called {each.name!r}: a name owns its tables, so each needs its own")
            if not each.all_handlers and not each.effects:
                raise UsageError(f"projection {each.name!r} has no handler: declare one with @table.on(Event)")
            check_declared(each)
            self._by_name[each.name] = each

    def named(self, name: str) -> Projection:
        """Find a projection. Raises UsageError with the nearest known names."""
        try:
            return self._by_name[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._by_name, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"no projection is called {name!r} (known: {', '.join(self._by_name)}).{hint}") from None

    def __iter__(self) -> Iterator[Projection]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


def check_declared(projection: Projection) -> None:
    """Raise UsageError for what *projection* can't derive, or join, by what it declares itself."""
    find_source(projection)
    adding = {each.table.name for each in projection.handlers if each.adds}
    check_joins(projection.joins, adding | {each.name for each in projection.free_tables})


def list_projections(subject: Projection | Projections) -> list[Projection]:
    """Give the projections of *subject*, each after those that it reads from. Raises UsageError as `Projections` does."""
    if isinstance(subject, Projections):
        return list(subject)
    check_declared(subject)
    return [subject]


def load_app(reference: str) -> Projections:
    """Import `module:name`, with the working directory last on the path so that it hides no installed package.

    Raises UsageError when the module or name is missing or is not a Projections.
    """
    _refuse_shadows()
    module_name, _, name = reference.partition(":")
    cwd = str(Path.cwd())
    if cwd not in sys.path:
        sys.path.append(cwd)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UsageError(f"--app {reference}: cannot import {error.name!r}; give module:name as seen from {cwd}") from error
    found = getattr(module, name or "app", None)
    if not isinstance(found, Projections):
        raise UsageError(
            f"--app {reference}: {name or 'app'!r} in {module_name} is {type(found).__name__}, not a Projections(...)"
        )
    return found


def _refuse_shadows() -> None:
    here = Path(__file__).resolve().parent.parent.parent
    for package in PACKAGES:
        folder = Path.cwd() / package
        if folder.is_dir() and folder.resolve().parent != here:
            raise UsageError(
                f"./{package} has the name of a package of this framework and would be hidden by it. "
                "Rename it (read models usually live in ./read_models)."
            )
