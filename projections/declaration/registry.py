"""The projections of one release of an app: what `--app module:name` points to."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from eventstore.errors import RefoldError, UsageError, suggest
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
            known = f"no projection is called {name!r} (known: {', '.join(self._by_name)})."
            raise UsageError(known + suggest(name, self._by_name)) from None

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
    module = _import(module_name, reference, cwd)
    found = getattr(module, name or "app", None)
    if not isinstance(found, Projections):
        raise UsageError(f"--app {reference}: {_describe_missing(module, name or 'app')}")
    return found


def _import(name: str, reference: str, cwd: str) -> ModuleType:
    """Import the app's module. Raises UsageError that says what stands against it and, where that is in its code, in which line."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(f"--app {reference}: cannot import {error.name!r}; give module:name as seen from {cwd}") from error
        raise UsageError(f"--app {reference}: {_locate(error)}: {error}; install it here, or correct the name") from error
    except RefoldError:
        raise
    except Exception as error:
        raise UsageError(f"--app {reference} can't be imported: {_locate(error)}: {type(error).__name__}: {error}") from error


def _locate(error: Exception) -> str:
    """Give file and line of what went wrong while a module was imported: the last place that is not the import machinery's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    places = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen ")]
    return f"{places[-1].filename}:{places[-1].lineno}" if places else "its code"


def _describe_missing(module: ModuleType, name: str) -> str:
    """Say what *name* is in *module* in place of a Projections, and how those that are there are called."""
    there = [each for each, held in vars(module).items() if isinstance(held, Projections)]
    near = difflib.get_close_matches(name, there, n=1) or there
    hint = f" Did you mean {module.__name__}:{near[0]}?" if near else " Make one: app = Projections(…)."
    what = f"is {type(getattr(module, name)).__name__}, not a Projections(…)" if hasattr(module, name) else "is not there"
    return f"{name!r} in {module.__name__} {what}.{hint}"


def _refuse_shadows() -> None:
    here = Path(__file__).resolve().parent.parent.parent
    for package in PACKAGES:
        folder = Path.cwd() / package
        if folder.is_dir() and folder.resolve().parent != here:
            raise UsageError(
                f"./{package} has the name of a package of this framework and would be hidden by it. "
                "Rename it (read models usually live in ./read_models)."
            )
