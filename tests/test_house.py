"""The rules of the house, read from the source: who may import whom, and how long things may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
PACKAGE = SRC / "mia"
FILES = sorted(PACKAGE.rglob("*.py"))

# A room may import rooms of its own or a lower floor. A shelf stands on the floor of its contract.
FLOORS: dict[str, int] = {
    "types": 0, "errors": 0,
    "prompts": 1, "locks": 1, "model": 1, "tool": 1, "grammar": 1, "statistics": 1, "snippets": 1,
    "titles": 1, "render": 1, "reading": 1, "retry": 1, "provider": 1, "pictures": 1,
    "captioner": 1, "provider_http": 1, "provider_text": 1,
    "sqlite_file": 1,
    "models": 2, "search": 2, "tools": 2, "providers": 2, "image_search": 2,
    "memory": 2, "planner": 2, "executor": 2, "judge": 2, "router": 2,
    "config": 3, "memories": 3, "planners": 3, "executors": 3, "judges": 3, "datasets": 3,
    "routers": 3, "captioners": 3, "demo": 3, "journal": 3, "calibration": 2,
    "solve": 4,
    "testing": 5, "evaluate": 5,
    "remote": 6, "sources": 6, "engines": 6, "team": 6, "report": 6,
    "methods": 6, "training": 6,
    "servers": 7, "cli": 7, "door": 7, "__main__": 8, "__init__": 8,
}  # fmt: skip
SHELVES = {"models", "search", "tools", "providers", "image_search", "memories", "planners",
           "executors", "judges", "datasets", "routers", "captioners"}  # fmt: skip
# What one shelf may take from another: the same words about the same thing, said once.
BETWEEN_SHELVES: dict[tuple[str, str], str] = {
    ("report", "judges"): "exact match and F1 are counted as the judge counts them",
}
ASSEMBLERS = {"team", "methods", "sources", "remote", "engines", "servers", "cli", "door",
              "testing", "training", "__main__"}  # fmt: skip
MAX_FILE, MAX_FUNCTION, MAX_SOLVE = 400, 60, 120


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield node.module
            if node.module == "mia":
                yield from (f"mia.{alias.name}" for alias in node.names)


def test_every_room_has_a_floor() -> None:
    rooms = {room(name_of(path)) for path in FILES}
    assert rooms <= set(FLOORS), f"no floor is set for {sorted(rooms - set(FLOORS))}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nobody_imports_from_a_higher_floor(path: Path) -> None:
    here = room(name_of(path))
    for module in imports(path):
        if module.split(".")[0] == "mia" and module != "mia":
            there = room(module)
            assert FLOORS[there] <= FLOORS[here], f"{path.name} ({here}) imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_assemblers_import_shelves(path: Path) -> None:
    here = room(name_of(path))
    if here in ASSEMBLERS:
        return
    for module in imports(path):
        there = room(module) if module.startswith("mia.") else ""
        if there in SHELVES and there != here:
            assert (here, there) in BETWEEN_SHELVES, f"{path.name} ({here}) imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_config_reads_the_environment(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.name != "config.py":
        assert "os.environ" not in text and "getenv" not in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    limit = MAX_SOLVE if path.name == "solve.py" else MAX_FILE
    assert lines <= limit, f"{path.name} has {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MAX_FUNCTION, f"{path.name}: {node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_everything_public_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert path.name == "__init__.py" or ast.get_docstring(tree), f"{path} has no docstring"
    for node in tree.body:
        noun = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if noun and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"


def test_no_two_rooms_import_each_other() -> None:
    graph = {name_of(path): {m for m in imports(path) if m.startswith("mia.")} for path in FILES}
    state: dict[str, int] = {}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if state.get(module) == 1:
            raise AssertionError(" -> ".join((*trail, module)))
        if state.get(module) == 2 or module not in graph:
            return
        state[module] = 1
        for imported in graph[module] - {module}:
            visit(imported, (*trail, module))
        state[module] = 2

    for module in graph:
        visit(module, ())
