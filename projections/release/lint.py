"""What in handlers would give other rows the next time: clocks, chance, I/O, state that outlives a call, orders that are no order.

It reads the source of every function of the app that handlers, key functions and upcasters run through (`meaning.find_functions`), and
finds out what each call's name stands for. It never runs anything. It can't see through libraries, nor through names that are made up at
run time; `projections.chaos` finds by experiment what a reader misses.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import inspect
import re
import textwrap
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from eventstore.event import registry as events
from eventstore.meaning import find_functions
from projections.declaration.chain import name_events
from projections.declaration.projection import Projection
from projections.declaration.refusal import refuse

_CLOCK: Final = "gives another time at every replay; take the envelope's recorded_at or occurred_at"
_CHANCE: Final = "gives another value at every replay; record it in the event, or derive it from the event's id"
_IO: Final = "reads or changes the world outside, which is another one at the next replay; record what it said in the event"
_ORDER: Final = "depends on the process (hash seed, memory), so two workers give two values"
_STATE: Final = "outlives the call, so rows depend on how batches and workers were cut; keep it in the row"
RULES: Final[Mapping[str, str]] = {
    "datetime.datetime.now": _CLOCK,
    "datetime.datetime.utcnow": _CLOCK,
    "datetime.datetime.today": _CLOCK,
    "datetime.date.today": _CLOCK,
    "time.time": _CLOCK,
    "time.time_ns": _CLOCK,
    "time.monotonic": _CLOCK,
    "time.monotonic_ns": _CLOCK,
    "time.perf_counter": _CLOCK,
    "time.perf_counter_ns": _CLOCK,
    "time.process_time": _CLOCK,
    "time.localtime": _CLOCK,
    "time.gmtime": _CLOCK,
    "time.ctime": _CLOCK,
    "time.asctime": _CLOCK,
    "time.strftime": _CLOCK,
    "time.sleep": _IO,
    "random.": _CHANCE,
    "_random.": _CHANCE,
    "secrets.": _CHANCE,
    "numpy.random": _CHANCE,
    "uuid.uuid1": _CHANCE,
    "uuid.uuid4": _CHANCE,
    "uuid.uuid6": _CHANCE,
    "uuid.uuid7": _CHANCE,
    "uuid.getnode": _CHANCE,
    "os.urandom": _CHANCE,
    "eventstore.envelope.make_id": _CHANCE,
    "os.getenv": _IO,
    "os.environ": _IO,
    "os._Environ": _IO,
    "os.getpid": _CHANCE,
    "os.getcwd": _IO,
    "os.cpu_count": _IO,
    "os.uname": _IO,
    "os.listdir": _IO,
    "os.scandir": _IO,
    "os.walk": _IO,
    "os.stat": _IO,
    "os.open": _IO,
    "os.path.exists": _IO,
    "os.path.isfile": _IO,
    "os.path.isdir": _IO,
    "os.path.getmtime": _IO,
    "os.path.getsize": _IO,
    "genericpath.exists": _IO,
    "genericpath.isfile": _IO,
    "genericpath.isdir": _IO,
    "genericpath.getmtime": _IO,
    "genericpath.getsize": _IO,
    "posix.": _IO,
    "platform.": _IO,
    "locale.": _IO,
    "getpass.": _IO,
    "glob.": _IO,
    "io.open": _IO,
    "_io.open": _IO,
    "pathlib.Path.": _IO,
    "builtins.input": _IO,
    "builtins.print": _IO,
    "builtins.hash": _ORDER,
    "builtins.id": _ORDER,
    "socket.": _IO,
    "_socket.": _IO,
    "ssl.": _IO,
    "subprocess.": _IO,
    "threading.": _STATE,
    "asyncio.": _IO,
    "tempfile.": _IO,
    "shutil.": _IO,
    "urllib.request.": _IO,
    "http.client.": _IO,
    "sqlite3.": _IO,
    "requests.": _IO,
    "httpx.": _IO,
    "aiohttp.": _IO,
    "psycopg.": _IO,
    "boto3.": _IO,
    "redis.": _IO,
}
"""What a call's full name is or begins with, and why that is no good. A rule that ends in a dot is about what lies below it."""
_SQL = {"sqlalchemy.text", "sqlalchemy.sql._elements_constructors.text", "sqlalchemy.sql.expression.text"}
"""Where SQLAlchemy's function may be found that makes a statement of text."""
_FUNC = re.compile(r"sqlalchemy\.(?:func|sql\.functions\._FunctionGenerator|sql\.expression\.func)\.(\w+)")
"""How a call of `func.something()` is called."""
_MUTATORS = {
    "append",
    "add",
    "update",
    "setdefault",
    "pop",
    "extend",
    "insert",
    "clear",
    "remove",
    "discard",
    "popitem",
    "appendleft",
}


class Finding(NamedTuple):
    """One suspicious place in *handler*'s code: what stands there and why it may give other rows."""

    handler: str
    place: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what} {self.why} (reached from {self.handler})"


def lint(projection: Projection) -> list[Finding]:
    """Read all code that decides what rows of *projection* hold, and give what is suspicious, each place once."""
    found: dict[tuple[str, str], Finding] = {}
    for name, function in _starts(projection):
        for each in find_functions(function):
            for place, what, why in _inspect(each):
                found.setdefault((place, what), Finding(name, place, what, why))
    return list(found.values())


def _starts(projection: Projection) -> Iterator[tuple[str, Any]]:
    for each in projection.handlers:
        yield f"the handler of {each.message} for {each.table.name}", each.function
        if each.key:
            yield f"the key of {each.message} for {each.table.name}", each.key
    for each in projection.joins:
        yield f"the join of {each.table.name} with {each.past.name}", each.function
    for each in projection.sql_handlers:
        yield f"the SQL handler of {each.message}", each.function
    yield from ((f"what {each.table.name} emits", each.function) for each in projection.emissions)
    yield from _default_starts(projection)
    wanted = name_events(projection)
    for kind in events:
        if kind.name in wanted:
            yield f"event {kind.name}", kind.python
            for version, upcaster in kind.upcasters.items():
                yield f"the upcaster of {kind.name} from version {version}", upcaster


def _default_starts(projection: Projection) -> Iterator[tuple[str, Any]]:
    for table in projection.tables:
        yield f"the row class of {table.name}", table.row
        for each in dataclasses.fields(table.row):
            if each.default_factory is not dataclasses.MISSING:
                yield f"the default of {table.name}.{each.name}", each.default_factory


def _inspect(function: types.FunctionType) -> Iterator[tuple[str, str, str]]:
    try:
        lines, first = inspect.getsourcelines(function.__code__)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError, TypeError):
        return
    scope = _Scope(function)
    for node in ast.walk(tree):
        for what, why in scope.judge(node):
            line: int = getattr(node.iter if isinstance(node, ast.comprehension) else node, "lineno", 1)
            yield f"{function.__module__}:{first + line - 1}", what, why


class _Scope:
    """What names stand for inside of one function."""

    def __init__(self, function: types.FunctionType) -> None:
        closure = inspect.getclosurevars(function)
        self._names: dict[str, Any] = {**vars(builtins), **function.__globals__, **closure.nonlocals}
        self._locals = set(function.__code__.co_varnames)
        self._imported: dict[str, str] = {}

    def judge(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._note_import(node)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield f"`{' '.join(node.names)}`, assigned from inside,", _STATE
        elif isinstance(node, ast.Call):
            yield from self._judge_call(node)
        elif isinstance(node, ast.Attribute) and (name := self._resolve(node)) == "os.environ":
            yield f"`{name}`", RULES[name]
        elif isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            yield from self._judge_store(node)
        elif isinstance(node, (ast.For, ast.comprehension)) and self._is_set(node.iter):
            yield f"`{ast.unparse(node.iter)}`, walked through,", f"is a set, whose order {_ORDER}; sort it"
        elif isinstance(node, (ast.AsyncFor, ast.AsyncWith, ast.Await)):
            yield "`await`", _IO

    def _judge_call(self, node: ast.Call) -> Iterator[tuple[str, str]]:
        name = self._resolve(node.func)
        if name and (why := find_rule(name)):
            yield f"`{ast.unparse(node.func)}()`", why
        if name in _SQL and node.args and isinstance(node.args[0], ast.Constant) and (why := refuse(str(node.args[0].value))):
            yield "an SQL statement", f"is refused: {why}"
        if name and (called := _FUNC.fullmatch(name)) and (why := refuse(f"SELECT {called[1]}()")):
            yield f"`{ast.unparse(node.func)}()`", f"is refused: {why}"
        if name == "builtins.next" and node.args and isinstance(node.args[0], ast.Name) and self._outlives(node.args[0]):
            yield f"`{ast.unparse(node)}`", f"goes on with what {_STATE}"
        if isinstance(node.func, ast.Attribute) and node.func.attr in _MUTATORS:
            yield from self._judge_change(node.func.value)
        if name in {"builtins.list", "builtins.tuple"} and node.args and self._is_set(node.args[0]):
            yield f"`{ast.unparse(node)}`", f"takes the order of a set, which {_ORDER}; use sorted"

    def _judge_store(self, node: ast.Subscript | ast.Attribute) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.Subscript):
            yield from self._judge_change(node.value)
        elif self._outlives(node.value):
            yield f"`{ast.unparse(node)}`, changed from inside,", _STATE

    def _judge_change(self, target: ast.expr) -> Iterator[tuple[str, str]]:
        """Find containers of a module or closure that are changed from inside of a function."""
        if isinstance(target, ast.Name) and target.id not in self._locals:
            held = self._names.get(target.id)
            if isinstance(held, (list, dict, set, bytearray)) or type(held).__module__ == "collections":
                yield f"`{target.id}`, changed from inside,", _STATE

    def _outlives(self, node: ast.expr) -> bool:
        """Say whether *node* names something of the module or of a closure."""
        return isinstance(node, ast.Name) and node.id not in self._locals and node.id in self._names

    def _is_set(self, node: ast.expr) -> bool:
        if isinstance(node, (ast.Set, ast.SetComp)):
            return True
        return isinstance(node, ast.Call) and self._resolve(node.func) in {"builtins.set", "builtins.frozenset"}

    def _note_import(self, node: ast.Import | ast.ImportFrom) -> None:
        for each in node.names:
            if isinstance(node, ast.ImportFrom):
                self._imported[each.asname or each.name] = f"{node.module}.{each.name}"
            else:
                self._imported[each.asname or each.name.partition(".")[0]] = (
                    each.name if each.asname else each.name.partition(".")[0]
                )

    def _resolve(self, node: ast.expr) -> str | None:
        """Give the full name of what *node* stands for; None where that is known at run time only."""
        rest: list[str] = []
        while isinstance(node, ast.Attribute):
            rest.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Call) and rest:  # Path("x").read_text()
            made = self._resolve(node.func)
            return ".".join([made, *rest]) if made and made[:1].islower() else None
        if not isinstance(node, ast.Name):
            return None
        if node.id in self._imported:
            return ".".join([self._imported[node.id], *rest])
        if node.id in self._locals or node.id not in self._names:
            return None
        return ".".join([_name_object(self._names[node.id]), *rest])


def find_rule(name: str) -> str | None:
    """Give why calling what is called *name* is no good, None = nothing known against it. Pure."""
    for rule, why in RULES.items():
        if name == rule or name.startswith(rule if rule.endswith(".") else f"{rule}."):
            return why
    return None


def _name_object(held: Any) -> str:
    if isinstance(held, types.ModuleType):
        return held.__name__
    owner = getattr(held, "__self__", None)
    if (
        isinstance(held, (types.BuiltinMethodType, types.MethodType))
        and owner is not None
        and not isinstance(owner, types.ModuleType)
    ):
        kind: type = owner if isinstance(owner, type) else type(owner)
        return f"{kind.__module__}.{kind.__qualname__}.{held.__name__}"
    if isinstance(held, type) or callable(held):
        return f"{getattr(held, '__module__', None)}.{getattr(held, '__qualname__', type(held).__qualname__)}"
    return f"{type(held).__module__}.{type(held).__qualname__}"
