"""The layers of the package, read from its syntax trees: imports go downwards, and each border is kept."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "bnnp").rglob("*.py"))

# For each module or package below bnnp/ what it may import; itself always. A module with a dot has a
# place of its own. _core is the C++ of bnnp/core/.
NOUNS = {"errors", "units", "structure"}
NUMERICS = {"descriptors", "core", "network", "uncertainty"}
INPUT = {"keyword_table", "keywords", "entries", "dialects", "optimizer_words", "blueprint", "settings"}
POTENTIAL = {"potential", "potential.prediction", "potential.files", "potential.loading"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "units": set(),
    "structure": {"errors"},
    "parallel": {"errors"},
    "memory": set(),
    "descriptors": NOUNS | {"_core"},
    "network": NOUNS | {"descriptors"},
    "core": NOUNS | {"_core", "descriptors", "network"},
    "uncertainty": NOUNS | {"descriptors", "network"},
    "analysis": NOUNS | {"descriptors"},
    "dynamics": NOUNS | {"descriptors"},
    "io": NOUNS | NUMERICS | {"dynamics", "potential.prediction"},
    "keyword_table": set(),
    "keywords": {"keyword_table"},
    "entries": NOUNS | {"io", "keyword_table", "keywords"},
    "dialects": NOUNS | {"io", "keyword_table", "network", "entries"},
    "optimizer_words": {"keyword_table", "entries"},
    "blueprint": NOUNS | {"io", "descriptors", "network", "entries", "dialects"},
    "settings": NOUNS | NUMERICS | {"io"} | INPUT,
    "training": NOUNS | NUMERICS | {"io", "parallel"},
    "potential.prediction": {"uncertainty"},
    "potential": NOUNS | NUMERICS | {"io", "potential.prediction"},
    "potential.files": NOUNS | NUMERICS | {"io", "settings", "potential"},
    "potential.loading": NOUNS | NUMERICS | INPUT | {"io", "potential", "potential.files"},
    "api": NOUNS | NUMERICS | {"io", "settings"},
    "interfaces": NOUNS | NUMERICS | {"io", "entries", "settings"} | POTENTIAL,
    "modes": NOUNS
    | NUMERICS
    | INPUT
    | POTENTIAL
    | {"potential.export", "io", "parallel", "training", "dynamics", "interfaces"},
    "potential.export": NOUNS | NUMERICS | {"io", "settings", "interfaces"} | POTENTIAL,
    "cli": {"errors", "memory", "parallel", "modes", "settings", "interfaces", "potential.export"},
    "__main__": {"cli"},
    "__init__": set(),
}
PURE = (
    "descriptors",
    "network",
    "uncertainty",
    "core",
    "dynamics",
    "analysis",
)  # no files, no printing, no environment


def part(path: Path) -> str:
    """The module or package below bnnp/ that a file belongs to."""
    return layer(".".join(path.relative_to(ROOT).with_suffix("").parts))


def layer(module: str) -> str:
    """The key of MAY_IMPORT for a module of bnnp: a module of its own, or a package."""
    names = module.split(".")[1:]
    return next((key for key in (".".join(names[:2]), names[0]) if key in MAY_IMPORT), names[0])


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of all imported modules, also inside of functions; not those for annotations only."""
    for node in walk_running_code(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            assert node.module is not None
            if node.module == "bnnp":
                yield from (f"bnnp.{alias.name}" for alias in node.names)
            else:
                yield node.module


def walk_running_code(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from walk_running_code(node)


def called(tree: ast.AST) -> set[str]:
    """Names of all functions that are called by their bare name."""
    return {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_downwards(path: Path) -> None:
    here = part(path)
    assert here in MAY_IMPORT, f"{here} is new: give it its place in MAY_IMPORT"
    below = {layer(module) for module in imported(parse(path)) if module.startswith("bnnp.")}
    assert below - {"__version__", here} <= MAY_IMPORT[here]


def test_the_layers_have_no_cycle() -> None:
    """Whatever may be imported from `a` may not, by any way, import `a`."""
    reach = {layer: set(below) for layer, below in MAY_IMPORT.items()}
    for _ in reach:
        for below in reach.values():
            below |= {deeper for layer in tuple(below) if layer in reach for deeper in reach[layer]}
    cyclic = {layer for layer, below in reach.items() if layer in below}
    assert cyclic <= {"settings"}  # INPUT contains it


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_parallel_knows_mpi(path: Path) -> None:
    knows = any(module.split(".")[0] == "mpi4py" for module in imported(parse(path)))
    assert knows == (name(path) == "bnnp/parallel.py")


@pytest.mark.parametrize("path", [path for path in MODULES if part(path) in PURE], ids=name)
def test_numerics_are_pure(path: Path) -> None:
    tree = parse(path)
    modules = {module.split(".")[0] for module in imported(tree)}
    assert not modules & {"h5py", "logging", "os", "sys", "click", "tqdm"}
    assert not called(tree) & {"open", "print", "input", "exit"}


@pytest.mark.parametrize("path", [path for path in MODULES if part(path) != "cli"], ids=name)
def test_only_the_command_ends_the_program(path: Path) -> None:
    tree = parse(path)
    assert "click" not in set(imported(tree))
    assert not called(tree) & {"exit", "quit"}


@pytest.mark.parametrize("path", [path for path in MODULES if name(path) != "bnnp/log.py"], ids=name)
def test_only_the_log_prints(path: Path) -> None:
    assert "print" not in called(parse(path))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_tools_and_tests_are_not_imported(path: Path) -> None:
    assert not {module.split(".")[0] for module in imported(parse(path))} & {"tools", "tests", "pytest"}
