"""Four structures with labels by ASE's EMT, in the formats that `bnnp convert` and `bnnp vasp` read."""

from __future__ import annotations

import sys
from pathlib import Path

import ase.io
import h5py
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from case import ROOT

sys.path[:0] = [str(ROOT / "tests" / "tools")]
from conftest import FakeRun, FakeStep  # noqa: E402

from bnnp.units import METAL  # noqa: E402


def frames() -> list[Atoms]:
    """Cu5Au3 at four volumes, rattled; a triangular cell, as LAMMPS has it."""
    found = []
    for number in range(4):
        atoms = bulk("Cu", "fcc", a=3.75 + 0.05 * number, cubic=True) * (2, 1, 1)
        atoms.set_cell(atoms.cell + [[0, 0, 0], [0.2, 0, 0], [0.1, 0.3, 0]], scale_atoms=True)
        atoms.symbols[5:] = "Au"
        atoms.rattle(0.1, seed=number)
        atoms.wrap()
        atoms.calc = EMT()
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **labels, stress=atoms.get_stress())
        found.append(atoms)
    return found


def write_files(folder: Path) -> None:
    """frames.extxyz, ML_AB, vaspout.h5, npy/, raw/, systems.hdf5; dumps and logs of LAMMPS."""
    images = frames()
    ase.io.write(folder / "frames.extxyz", images)
    (folder / "ML_AB").write_text(as_vasp(images).ml_ab())
    as_vasp(images).vaspout(folder / "vaspout.h5")
    write_deepmd(folder, images)
    (folder / "md.dump").write_text(dump(images, energies=False))
    (folder / "pe.dump").write_text(dump(images, energies=True))
    (folder / "log.lammps").write_text(log(images))
    (folder / "log.yaml").write_text(yaml_log(images))


def as_vasp(images: list[Atoms]) -> FakeRun:
    """The frames as steps of a run of VASP."""
    steps = tuple(
        FakeStep(
            cell=np.asarray(atoms.cell),
            positions=atoms.positions,
            energy=atoms.get_potential_energy(),
            sigma0=atoms.get_potential_energy(),
            forces=atoms.get_forces(),
            kilobar=tuple(-10.0 * METAL.gpa * atoms.get_stress()[[0, 1, 2, 5, 3, 4]]),
        )
        for atoms in images
    )
    return FakeRun(steps, (("Cu", 5), ("Au", 3)))


def write_deepmd(folder: Path, images: list[Atoms]) -> None:
    """The same system three times: npy files, text, HDF5."""
    arrays = {
        "coord": [atoms.positions.ravel() for atoms in images],
        "box": [np.asarray(atoms.cell).ravel() for atoms in images],
        "energy": [[atoms.get_potential_energy()] for atoms in images],
        "force": [atoms.get_forces().ravel() for atoms in images],
        "virial": [-atoms.get_volume() * atoms.get_stress(voigt=False).ravel() for atoms in images],
    }
    for name in ("npy", "raw"):
        (folder / name).mkdir()
        (folder / name / "type.raw").write_text("0\n" * 5 + "1\n" * 3)
        (folder / name / "type_map.raw").write_text("Cu\nAu\n")
    (folder / "npy" / "set.000").mkdir()
    with h5py.File(folder / "systems.hdf5", "w") as file:
        file["type.raw"], file["type_map.raw"] = [0] * 5 + [1] * 3, np.array(["Cu", "Au"], dtype="S")
        for name, rows in arrays.items():
            np.save(folder / "npy" / "set.000" / f"{name}.npy", np.array(rows))
            np.savetxt(folder / "raw" / f"{name}.raw", rows, fmt="%.10f")
            file[f"set.000/{name}.npy"] = np.array(rows)


def dump(images: list[Atoms], energies: bool) -> str:
    """A dump of LAMMPS, with a column of energies or without."""
    text = ""
    for number, atoms in enumerate(images):
        (a, _, _), (xy, b, _), (xz, yz, c) = np.asarray(atoms.cell).tolist()
        low, high = min(0.0, xy, xz, xy + xz), max(0.0, xy, xz, xy + xz)
        text += f"ITEM: UNITS\nmetal\nITEM: TIMESTEP\n{10 * number}\nITEM: NUMBER OF ATOMS\n{len(atoms)}\n"
        text += f"ITEM: BOX BOUNDS xy xz yz pp pp pp\n{low} {a + high} {xy}\n"
        text += f"{min(0.0, yz)} {b + max(0.0, yz)} {xz}\n0 {c} {yz}\n"
        text += f"ITEM: ATOMS id type element x y z fx fy fz{' c_pe' * energies}\n"
        each = atoms.get_potential_energy() / len(atoms)
        rows = zip(atoms.symbols, atoms.positions, atoms.get_forces(), strict=True)
        for k, (symbol, position, force) in enumerate(rows, 1):
            text += f"{k} {1 + (symbol == 'Au')} {symbol} "
            text += " ".join(f"{x:.8f}" for x in (*position, *force, *[each] * energies)) + "\n"
    return text


def log(images: list[Atoms]) -> str:
    """Its log: the default thermo table."""
    rows = (f"  {10 * k} 300 {a.get_potential_energy():.8f} 0 1.5" for k, a in enumerate(images))
    head, end = "LAMMPS (22 Jul 2025)\nunits metal\n   Step Temp PotEng KinEng Press\n", "Loop time of 0.1"
    return head + "\n".join(rows) + f"\n{end} on 1 procs for 30 steps with {len(images[0])} atoms\n"


def yaml_log(images: list[Atoms]) -> str:
    """The same by `thermo_style yaml`."""
    rows = (f"  - [{10 * k}, 300, {a.get_potential_energy():.8f}, 0, 1.5, ]" for k, a in enumerate(images))
    head = "---\nkeywords: ['Step', 'Temp', 'PotEng', 'KinEng', 'Press', ]\ndata:\n"
    end = f"...\nLoop time of 0.1 on 1 procs for 30 steps with {len(images[0])} atoms\n"
    return "LAMMPS (22 Jul 2025)\nunits metal\n" + head + "\n".join(rows) + "\n" + end
