"""The documentation is true: links lead somewhere, code compiles and imports what exists, commands and options exist, words are ours."""

from __future__ import annotations

import ast
import importlib
import json
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from projections.control.generation import State

BLOCK = re.compile(r"^```(\w+)?([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PROGRAMS = ("refold", "eventstore", "projections", "cdc", "replay")
SHELL = {"python", "export", "make", "pip", "kill", "psql", "pg_dump", "pg_dumpall", "pg_restore", *PROGRAMS}
CODE = re.compile(r"`((?:refold|eventstore|projections|cdc|replay) [a-z][^`…]*)`")
SWITCHES = {"REFOLD_DEBUG", "REFOLD_TEST_ADMIN", "REFOLD_FAIL_AT", "REFOLD_PAUSE_AT", "REFOLD_TEST_SEED", "REFOLD_TEST_STORM_S"}
ENVIRONMENT = re.compile(r"REFOLD_[A-Z_]+[A-Z]")


@pytest.fixture(scope="module")
def pages(repository: Path) -> dict[str, str]:
    """Every page of the documentation by its path."""
    files = [*repository.glob("*.md"), *(repository / "changelog.d").glob("*.md"), *(repository / "docs").rglob("*.md")]
    return {str(path.relative_to(repository)): path.read_text("utf-8") for path in files}


def blocks(pages: dict[str, str], language: str) -> Iterator[tuple[str, str]]:
    for page, text in pages.items():
        for found in BLOCK.finditer(text):
            if found[1] == language:
                yield f"{page}:{text[: found.start()].count(chr(10)) + 1}", found[3]


def slugs(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_links(pages: dict[str, str], repository: Path) -> None:
    """Every relative link leads to a file, and its anchor to a heading."""
    faults: list[str] = []
    for page, text in pages.items():
        for target in LINK.findall(BLOCK.sub("", text)):
            if "://" in target:
                continue
            name, _, anchor = target.partition("#")
            path = (repository / page).parent / name if name else repository / page
            if not path.exists() or (anchor and anchor not in slugs(path.read_text("utf-8"))):
                faults.append(f"{page}: {target}")
    assert not faults


def test_reachable(pages: dict[str, str], repository: Path) -> None:
    """Every page below docs/ is in the table of contents, and the README leads to docs/index.md."""
    nav = set(re.findall(r": (\S+\.md)$", (repository / "mkdocs.yml").read_text("utf-8"), re.MULTILINE))
    assert nav == {page.removeprefix("docs/") for page in pages if page.startswith("docs/")}
    assert "(docs/index.md)" in pages["README.md"]


def test_short(pages: dict[str, str]) -> None:
    """The README has at most 150 lines."""
    assert pages["README.md"].count("\n") <= 150


def test_python(pages: dict[str, str]) -> None:
    """Every Python block compiles and imports only what exists."""
    found = list(blocks(pages, "python"))
    assert len(found) >= 4
    faults: list[str] = []
    for place, code in found:
        for node in ast.walk(ast.parse(code, place)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                faults += [f"{place}: {node.module}.{each.name}" for each in node.names if not hasattr(module, each.name)]
    assert not faults


def test_declarations(pages: dict[str, str], tmp_path: Path) -> None:
    """Every Python block can be imported as a module: what it declares is accepted."""
    for number, (place, code) in enumerate(blocks(pages, "python")):
        (tmp_path / f"block{number}.py").write_text(code, "utf-8")
        done = subprocess.run([sys.executable, "-c", f"import block{number}"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{place}: {done.stderr}"


def test_data(pages: dict[str, str], tmp_path: Path) -> None:
    """Every TOML block is a connector that is accepted, and every JSON block is JSON."""
    from cdc.connect.declaration import read_connector

    for place, text in blocks(pages, "toml"):
        assert tomllib.loads(text), place
        (tmp_path / "connector.toml").write_text(text, "utf-8")
        assert read_connector(tmp_path / "connector.toml").tables, place
    for place, text in blocks(pages, "json"):
        assert json.loads(text), place


@pytest.fixture(scope="module")
def reference(repository: Path) -> dict[str, Any]:
    return runpy.run_path(str(repository / "docs" / "commands.py"))


def test_commands(pages: dict[str, str], reference: dict[str, Any], repository: Path) -> None:
    """Every command in a console block or in the text exists, with every option that it is given."""
    parsers = {program: reference["find_parser"](program) for program in PROGRAMS}
    targets = set(re.findall(r"^([a-z]+):", (repository / "Makefile").read_text("utf-8"), re.MULTILINE))
    lines = [(place, line[2:]) for place, text in blocks(pages, "console") for line in text.splitlines() if line.startswith("$ ")]
    for page, text in pages.items():
        if page != "docs/reference/commands.md":
            plain = BLOCK.sub("", text)
            lines += [(page, each) for each in CODE.findall(plain) + re.findall(r"`(make [a-z]+)`", plain)]
    faults = [f"{place}: {line}" for place, line in lines if not exists(line.split(), parsers, targets, reference)]
    assert not faults


def exists(words: list[str], parsers: dict[str, Any], targets: set[str], reference: dict[str, Any]) -> bool:
    if words[0] not in SHELL:
        return False
    if words[0] == "make":
        return words[1] in targets
    if words[0] not in PROGRAMS:
        return True
    if words[0] == "refold" and words[1:2] and words[1] in PROGRAMS:
        words = words[1:]
    parser, rest = parsers[words[0]], words[1:]
    commands = reference["find_commands"](parser)
    if rest and not rest[0].startswith("-"):
        if rest[0] not in commands and commands and words[0] != "replay":
            return False
        parser = commands.get(rest[0], parser)
        inner = reference["find_commands"](parser)
        parser = inner.get(rest[1]) if inner and rest[1:] else parser
    known = {name for each in parser._actions for name in each.option_strings} if parser else set()
    return parser is not None and all(word.split("=")[0] in known for word in rest if word.startswith("--"))


def test_commands_fresh(reference: dict[str, Any], repository: Path) -> None:
    """docs/reference/commands.md is what `make docs` writes."""
    assert (repository / "docs" / "reference" / "commands.md").read_text("utf-8") == reference["render"]()


def test_settings_exist(pages: dict[str, str]) -> None:
    """Every REFOLD_ variable that a page names is in the reference of settings, or is one of the switches for debugging."""
    known = set(ENVIRONMENT.findall(pages["docs/reference/settings.md"])) | SWITCHES
    assert not [f"{page}: {name}" for page, text in pages.items() for name in ENVIRONMENT.findall(text) if name not in known]


def test_guarantees(pages: dict[str, str], sources: dict[str, ast.Module]) -> None:
    """Every promise of the README names a test that exists."""
    named = re.findall(r"\| `([\w/]+\.py)::(test_\w+)` \|$", pages["README.md"], re.MULTILINE)
    assert len(named) >= 8
    known = {
        (path, node.name)
        for path, tree in sources.items()
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert not [each for each in named if (f"tests/integration/{each[0]}", each[1]) not in known]


def test_glossary(pages: dict[str, str]) -> None:
    """The glossary is sorted and defines every state and every word of the house."""
    words = re.findall(r"^\*\*(.+?)\*\*:", pages["docs/glossary.md"], re.MULTILINE)
    assert words == sorted(words)
    house = [
        "event",
        "stream",
        "version",
        "position",
        "relay",
        "change",
        "projection",
        "generation",
        "checkpoint",
        "epoch",
        "swap",
        "rollback",
        "parked",
        "token",
    ]
    assert not {*house, *(str(state) for state in State)} - set(words)


def test_modules_documented(sources: dict[str, ast.Module]) -> None:
    """Every module of the packages and every test says what it is for; a test in one sentence."""
    modules = [
        path
        for path, tree in sources.items()
        if not path.startswith(("tests/", "benchmarks/")) and tree.body and not ast.get_docstring(tree)
    ]
    tests = [
        f"{path}:{node.name}"
        for path, tree in sources.items()
        if path.startswith("tests/")
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert (modules, tests) == ([], [])


def test_mentioned_pages(repository: Path, sources: dict[str, ast.Module]) -> None:
    """Every page of docs/ that a docstring or a statement refers to exists."""
    texts = {path: (repository / path).read_text("utf-8") for path in sources if not path.startswith("tests/architecture")}
    faults = [
        f"{path}: {name}"
        for path, text in texts.items()
        for name in re.findall(r"docs/[\w/-]+\.md", text)
        if not (repository / name).exists()
    ]
    assert not faults
