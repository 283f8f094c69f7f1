r"""Select: which frames of the runs are worth a label.

Sigma is the largest of a force component. A frame is a candidate between the trust levels; beyond the upper
one the geometry may be nonsense. A candidate is kept with the probability of its energy (S. Kang, T. A. R.
Purcell, C. Carbogno, M. Scheffler, arXiv:2409.11808; the form is that of their program ALmoMD)

.. math::
    P = \min(1,\; 0.2^{(E - \bar E - s) / (0.8\, s)}),

which is 1 up to one standard deviation s of the potential energy above its mean in the run, and 0.2 at 1.8 s:
what no thermal motion reaches is not worth a label. Here the mean is the median and s a robust one, so that a
few absurd frames do not set them, and s is at least that of harmonic atoms, :math:`\sqrt{3N/2}\, k_B T`.

Of what is kept the farthest points of all runs are taken, by `bnnp select`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ase.io
import ase.units
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.io.output import replace_file
from bnnp.io.structure_block import format_ranges
from bnnp.io.trajectory import TRAJECTORY
from bnnp.messages import count, percent
from bnnp.settings.settings import load_settings
from bnnp.structure import Structure
from learning.campaign import Campaign, announce
from learning.cut import CORE, cut
from learning.explore import Levels

Array = NDArray[np.float64]

QUIET, CANDIDATE, BEYOND, UNLIKELY, TAKEN_ANYWAY = "quiet", "candidate", "beyond", "unlikely", "anyway"
KEPT = (CANDIDATE, TAKEN_ANYWAY)
SAME = 1e-6  # standard deviations of symmetry functions: `bnnp select` leaves out what is nearer


@dataclass(frozen=True, eq=False)
class Frame:
    """A look at a run.

    Parameters
    ----------
    atoms : Atoms
        With energy and forces of the potential.
    run : str
        Folder of its run, from the campaign.
    step : int
    sigma : float, eV/Angstrom
    energy : float, eV
    """

    atoms: Atoms
    run: str
    step: int
    sigma: float
    energy: float


def viability(energies: Array, n_atoms: int, temperature: float) -> Array:
    """Probability P of each frame of one run, (n,).

    Parameters
    ----------
    energies : (n,) float64, eV
        Potential energies.
    temperature : float, K
        The highest of the run.
    """
    middle = np.median(energies)
    spread = 1.4826 * float(np.median(np.abs(energies - middle)))  # of a normal distribution
    s = max(spread, math.sqrt(1.5 * n_atoms) * ase.units.kB * temperature)
    excess = np.maximum(energies - middle - s, 0.0)
    return np.asarray(np.power(0.2, excess / (0.8 * s)))


def classify(sigmas: Array, chances: Array, draw: Array, levels: Levels, quiet: int) -> list[str]:
    """What each frame of one run is, in their order.

    Parameters
    ----------
    sigmas, chances, draw : (n,) float64
        Sigma in the unit of `levels`; probability of the energy; random numbers from 0 to 1.
    quiet : int
        Looks running without a candidate after which a quiet frame is taken anyway; 0: never.
    """
    found, running = [], 0
    for sigma, chance, number in zip(sigmas, chances, draw, strict=True):
        if not sigma < levels.upper:
            kind = BEYOND  # NaN, too
        elif sigma < levels.lower:
            kind = QUIET
        else:
            kind = CANDIDATE if number < chance else UNLIKELY
        running = running + 1 if kind == QUIET else 0
        if quiet and running == quiet:
            kind, running = TAKEN_ANYWAY, 0
        found.append(kind)
    return found


def frames_of(campaign: Campaign, run: Mapping[str, object]) -> Iterator[Frame]:
    """The frames of a run but the first, which is its start, and one at which the guard has stopped it."""
    folder = str(run["run"])
    frames = list(ase.io.iread(campaign.root / folder / TRAJECTORY, index=":", format="extxyz"))
    for atoms in frames[1 : len(frames) - (run["stopped"] == "guard")]:
        spread = atoms.arrays.get("forces_std")
        sigma = float(np.abs(spread).max()) if spread is not None else math.nan
        yield Frame(atoms, folder, int(atoms.info["step"]), sigma, float(atoms.get_potential_energy()))


def temperature_of(campaign: Campaign, run: Mapping[str, object]) -> float:
    """The highest temperature of a run, K."""
    own = run["temperature"]
    ramps = [] if own is None else [float(word) for word in str(own).split(":")]
    given = campaign.settings.dynamics.md_temperature
    return max(ramps or [max(ramp.start, ramp.end) for ramp in given] or [0.0])


def select(campaign: Campaign, generation: int) -> None:
    """Write select/chosen.data, the structures to label, and select/frames.out, what each frame is."""
    campaign.demand_unchanged(generation, "explore")
    folder, facts = campaign.start(generation, "select"), campaign.facts(generation, "explore")
    units, loop = campaign.units, campaign.settings.loop
    factor = units.ev / units.angstrom
    levels = Levels(facts["lower"] * factor, facts["upper"] * factor)  # eV/Angstrom
    rng = np.random.default_rng([campaign.settings.general.random_seed, generation])
    frames: list[Frame] = []
    kinds: list[str] = []
    for run in facts["runs"]:
        own = list(frames_of(campaign, run))
        energies, draw = np.array([each.energy for each in own]), rng.random(len(own))
        n_atoms = len(own[0].atoms) if own else 1
        chances = viability(energies, n_atoms, temperature_of(campaign, run)) if own else energies
        sigmas = np.array([each.sigma for each in own])
        kinds += classify(sigmas, chances, draw, levels, loop.loop_quiet)
        frames += own
    candidates = [frame for frame, kind in zip(frames, kinds, strict=True) if kind in KEPT]
    if loop.loop_select == "random":
        possible = [frame for frame, kind in zip(frames, kinds, strict=True) if kind != BEYOND]
        order = rng.permutation(len(possible))[: loop.loop_labels]
        candidates = [possible[index] for index in sorted(order)]
    write_frames(folder / "frames.out", frames, kinds)
    source = campaign.potential_folder(generation) / "input.nn"
    cutoff = load_settings(source, 3).model.largest_cutoff if loop.loop_cut else 0.0
    regions = [region_of(campaign, frame, cutoff, rng) for frame in candidates]
    structures = [to_structure(campaign, frame, generation) for frame in regions]
    write_structures(folder / "candidates.data", structures)
    farthest(campaign, generation, folder, structures)
    counts = {kind: kinds.count(kind) for kind in (QUIET, CANDIDATE, UNLIKELY, BEYOND, TAKEN_ANYWAY)}
    share = 1.0 - (counts[QUIET] + counts[TAKEN_ANYWAY]) / len(kinds) if kinds else 0.0
    chosen = len(list(blocks(folder / "chosen.data")))
    announce(
        generation,
        "select",
        f"{count(chosen, 'structure')} to label, of {count(len(frames), 'frame')}: {counts[QUIET]} quiet, "
        f"{counts[CANDIDATE]} between the levels, {counts[BEYOND]} beyond them, {counts[UNLIKELY]} with an "
        f"unlikely energy, {counts[TAKEN_ANYWAY]} taken anyway; {percent(share)} not quiet",
    )
    inputs = [campaign.root / run["run"] / TRAJECTORY for run in facts["runs"]]
    outputs = [folder / name for name in ("chosen.data", "frames.out")]
    campaign.finish(
        generation, "select", inputs, outputs, counts=counts, share=share, frames=len(frames), chosen=chosen,
        steps=sum(max((f.step for f in frames if f.run == run["run"]), default=0) for run in facts["runs"]),
    )  # fmt: skip


def farthest(campaign: Campaign, generation: int, folder: Path, structures: Sequence[Structure]) -> None:
    """Write chosen.data: all candidates, or the farthest of them and of what is trained on."""
    loop, target = campaign.settings.loop, folder / "chosen.data"
    if len(structures) <= 1 or loop.loop_select == "random":
        write_structures(target, structures)
        return
    shutil.copy(campaign.potential_folder(generation) / "input.nn", folder / "input.nn")
    with replace_file(folder / "labeled.data") as file:
        for path in campaign.labeled(generation - 1):
            file.write(path.read_text())
    words = ("select", "--number", loop.loop_labels, "--beside", "labeled.data", "--overwrite")
    campaign.run(folder, "select.log", *words, "candidates.data", "chosen.data")


def region_of(campaign: Campaign, frame: Frame, cutoff: float, rng: np.random.Generator) -> Frame:
    """What is to be labeled of a frame: with ``loop_cut`` a region around its most uncertain atom, or around
    any if frames are chosen at random; `cutoff` is the largest, in the unit of the campaign."""
    radius, length = campaign.settings.loop.loop_cut, campaign.units.angstrom
    if radius == 0.0:
        return frame
    if campaign.settings.loop.loop_select == "random" or "forces_std" not in frame.atoms.arrays:
        center = int(rng.integers(len(frame.atoms)))
    else:
        center = int(np.abs(frame.atoms.arrays["forces_std"]).max(axis=1).argmax())
    return replace(frame, atoms=cut(frame.atoms, center, radius * length, cutoff * length))


def to_structure(campaign: Campaign, frame: Frame, generation: int) -> Structure:
    """A frame without labels, its atoms by element as POSCAR has them, wrapped into the cell."""
    atoms = frame.atoms[np.argsort(frame.atoms.numbers, kind="stable")]
    if atoms.pbc.any():
        atoms.wrap()
    atoms.calc = None
    structure = from_atoms(atoms, campaign.units, labels=False)
    info = {
        "group": f"generation_{generation:03d}",
        "source": f"{frame.run}:{frame.step}",
        "sigma": f"{frame.sigma:.6g}",
    }
    if CORE in atoms.arrays:
        info[CORE] = format_ranges(np.flatnonzero(atoms.arrays[CORE]))
    return replace(structure, info=info)


def blocks(path: Path) -> Iterator[Structure]:
    """The structures of a file that may have none."""
    if path.is_file() and path.stat().st_size:
        yield from StructureFile(path, require_labels=False)


def write_frames(path: Path, frames: Sequence[Frame], kinds: Sequence[str]) -> None:
    """A line for each frame."""
    with replace_file(path) as file:
        file.write("# run step sigma(eV/Angstrom) energy(eV/atom) kind\n")
        for frame, kind in zip(frames, kinds, strict=True):
            energy = frame.energy / len(frame.atoms)
            file.write(f"{frame.run} {frame.step:9d} {frame.sigma:12.6f} {energy:16.8f} {kind}\n")
