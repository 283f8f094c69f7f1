"""Builds the C++ core; everything else about the package is in setup.cfg.

The kernels are compiled once for each instruction set (``kernels_v2.cpp`` ... ``kernels_v4.cpp``)
and chosen at run time, so that a build on a login node runs on a compute node.
"""

from __future__ import annotations

import platform
import shutil
import sys
import sysconfig
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension, build_ext
from setuptools import find_packages, setup

INSTRUCTION_SETS = {
    "kernels_v2": ["-march=x86-64-v2"],
    "kernels_v3": ["-march=x86-64-v3"],
    "kernels_v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}
X86 = platform.machine() in ("x86_64", "AMD64")
CORE = Path("bnnp/core")
SOURCES = [
    path for path in sorted(CORE.rglob("*.cpp")) if X86 or path.stem not in ("kernels_v3", "kernels_v4")
]


class BuildCore(build_ext):
    """Compiles every source with the flags of its instruction set, after a look at the compiler."""

    def build_extensions(self) -> None:
        compiler = self.compiler.compiler_cxx[0] if self.compiler.compiler_cxx else "g++"
        if shutil.which(compiler) is None:
            sys.exit(
                f"bnnp needs a C++17 compiler: `{compiler}` was not found. Install g++ (apt install g++)."
            )
        if (
            not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists()
            and not _headers_in_environment()
        ):
            sys.exit("bnnp needs the headers of Python: Python.h was not found. Install python3-dev.")
        plain = self.compiler._compile

        def compile_one(obj, src, ext, cc_args, extra_postargs, pp_opts):  # noqa: ANN001, ANN202
            flags = INSTRUCTION_SETS.get(Path(src).stem, []) if X86 else []
            plain(obj, src, ext, cc_args, [*extra_postargs, *flags], pp_opts)

        self.compiler._compile = compile_one
        super().build_extensions()


def _headers_in_environment() -> bool:
    import os

    folders = f"{os.environ.get('CPATH', '')}:{os.environ.get('CPLUS_INCLUDE_PATH', '')}".split(":")
    return any((Path(folder) / "Python.h").exists() for folder in folders if folder)


# tools/ is part of the package as bnnp.tools, for the verbs of the command (bnnp convert, ...).
TOOLS = ["tools", *(f"tools/{path.parent.name}" for path in sorted(Path("tools").glob("*/__init__.py")))]

setup(
    packages=[
        *find_packages(include=["bnnp", "bnnp.*"]),
        *(f"bnnp.{path.replace('/', '.')}" for path in TOOLS),
    ],
    package_dir={"bnnp.tools": "tools"},
    ext_modules=[
        Pybind11Extension(
            "bnnp._core",
            list(map(str, SOURCES)),
            include_dirs=[str(CORE)],
            depends=[str(path) for path in sorted(CORE.rglob("*.[hi][pn][pl]"))],
            cxx_std=17,
            extra_compile_args=["-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-pthread"],
            extra_link_args=["-pthread"],
        )
    ],
    cmdclass={"build_ext": BuildCore},
)
