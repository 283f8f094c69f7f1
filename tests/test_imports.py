"""The layers of the package, read from its syntax trees: imports go downwards, and each border is kept.

What a command imports is read from a process of its own.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "bnnp").rglob("*.py"))

# For each module or package below bnnp/ what it may import; itself always. _core is the C++ of bnnp/core/.
NOUNS = {"errors", "messages", "units", "structure", "random"}
NUMERICS = {"descriptors", "network", "uncertainty"}
DESCRIPTION = NOUNS | NUMERICS | {"charges", "repulsion", "model", "prediction"}
PROGRAM = DESCRIPTION | {"io", "settings", "potential"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "messages": set(),
    "units": set(),
    "random": set(),
    "structure": {"errors"},
    "memory": set(),
    "descriptors": NOUNS | {"_core"},
    "network": NOUNS | {"_core", "descriptors"},
    "uncertainty": NOUNS | {"descriptors", "network"},
    "analysis": NOUNS | {"descriptors"},
    "dynamics": NOUNS | {"descriptors"},
    "charges": NOUNS | {"_core", "network"},
    "repulsion": NOUNS | {"descriptors"},
    "model": NOUNS | {"charges", "descriptors", "network", "repulsion"},
    "prediction": NOUNS | {"uncertainty"},
    "io": DESCRIPTION | {"_core", "dynamics"},
    "settings": DESCRIPTION | {"io"},
    "parallel": {"errors"},
    "run": {"parallel", "settings"},
    "log": {"messages", "parallel", "settings"},
    "command": {"errors", "messages", "parallel"},
    "potential": DESCRIPTION | {"io", "settings"},
    "training": PROGRAM | {"parallel"},
    "interfaces": PROGRAM | {"dynamics"},
    "api": PROGRAM,
    "modes": PROGRAM | {"parallel", "run", "log", "training", "dynamics", "analysis", "interfaces"},
    "cli": {"command", "errors", "io", "memory", "parallel", "run", "settings", "interfaces", "modes"},
    "__main__": {"cli"},
    "__init__": {"api", "interfaces", "potential", "prediction", "structure"},
}
PURE = (
    "descriptors",
    "network",
    "uncertainty",
    "charges",
    "repulsion",
    "model",
    "prediction",
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
    """Full names of all imported modules, also inside of functions and those for annotations only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            assert node.module is not None
            if node.module == "bnnp":
                yield from (f"bnnp.{alias.name}" for alias in node.names)
            else:
                yield node.module


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
    assert not cyclic


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


@pytest.mark.parametrize("path", [path for path in MODULES if part(path) not in ("cli", "command")], ids=name)
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


SCRIPTS = sorted(path for folder in ("tools", "inputs") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_tools_and_cases_use_no_mode(path: Path) -> None:
    """They use the parts a mode is made of, or run the command."""
    assert not [module for module in imported(parse(path)) if module.startswith("bnnp.modes")]


LATE = {"torch", "scipy", "h5py", "mpi4py"}  # each takes as long as the prediction of a structure, or longer
PRINTING = """\
import atexit, sys
from bnnp.__main__ import main
atexit.register(lambda: print(*{name.split(".")[0] for name in sys.modules}))
main()
"""
DIMER = """\
begin
atom 0.0 0.0 0.0 Cu 0.0 0.0 0.0 0.0 0.0
atom 2.9 0.0 0.0 Cu 0.0 0.0 0.0 0.0 0.0
energy -1.0
charge 0.0
end
"""


def loaded(folder: Path, *arguments: str) -> set[str]:
    """What the command has imported when it ends."""
    command = [sys.executable, "-c", PRINTING, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_no_library_but_click(tmp_path: Path) -> None:
    found = loaded(tmp_path, "--help")
    assert "click" in found
    assert not found & (LATE | {"numpy", "ase"})


@pytest.mark.parametrize("mode", ["1", "3"])
def test_libraries_are_imported_where_they_are_used(mode: str, solid: Path, tmp_path: Path) -> None:
    """Symmetry functions and predictions come from the core; only mode 1 writes HDF5.

    Without references: the verdict on errors that are far off needs the chi-square distribution of scipy.
    """
    shutil.copytree(solid, tmp_path, dirs_exist_ok=True)
    (tmp_path / "input.data").write_text(3 * (DIMER if mode == "1" else DIMER.replace("energy -1.0\n", "")))
    found = loaded(tmp_path, "--mode", mode)
    assert "numpy" in found
    assert found & LATE == ({"h5py"} if mode == "1" else set())
