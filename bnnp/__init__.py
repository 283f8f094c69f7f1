"""bnnp: Behler-Parrinello neural network potentials that know how uncertain they are.

This page is the conventions page: what every module takes for granted.

Units
    Inside and in every file the units of the input: bohr and hartree (``units atomic``, RuNNer's) or
    Angstrom and eV (``units metal``); see :mod:`bnnp.units`. Nothing is converted between reading and
    writing. The log shows errors in meV/atom and meV/Angstrom, pressures in GPa.
Arrays
    float64 unless said otherwise, C order. Positions and forces are (n_atoms, 3). The cell is (3, 3)
    with the lattice vectors as ROWS, or None for a free molecule. It is repeated along all three vectors,
    unless `pbc` says otherwise (slabs, wires).
Elements
    Symbols are sorted by atomic number, whatever the order in input.nn; a `type` is an index into that tuple.
Symmetry functions
    G is (n_atoms, width): the functions of each atom's element in n2p2's order
    (:attr:`bnnp.descriptors.functions.SymmetryFunction.sort_key`), padded with zeros to the longest
    list. Angular sums run over unordered pairs of neighbors, once.
Pairs
    Full neighbor lists with explicit images: the pair (i, j) and the pair (j, i) are both there, and an
    atom may be the neighbor of its own images, so cutoffs longer than the cell are legal. Pairs are
    sorted by center, then neighbor element, neighbor index and vector. The vector points from the center
    to the neighbor: D = r_j + image - r_i.
Signs
    Forces are F = -dE/dr: with dE/dD of every pair, ``F[center] += dE/dD`` and ``F[neighbor] -= dE/dD``.
    Stress is ASE's, sigma = +1/V dE/d(strain) = 1/V sum_pairs D (x) dE/dD, Voigt order xx yy zz yz xz
    xy; the file nnstress.out has RuNNer's opposite sign and says so.
Energies
    A network gives the energy of one atom; the total is their sum plus the free-atom energies, where
    they were subtracted before the training (``remove_atom_energies``).
    With charges (in e) the electrostatic energy is added, half of each pair to either atom.
Dropout
    Rates are chances to DROP. A mask belongs to a layer of an element and is shared by all atoms of a
    structure: one sample is one network. Kept nodes are scaled by 1/(1 - p), so that without dropout the
    plain network remains.
Randomness
    Every number follows from ``random_seed``, a purpose and counters; nothing depends on the number of
    processes.

For notebooks and scripts (loaded when first used, so that ``import bnnp`` costs nothing)::

    bnnp.read_data("input.data")                     list of Structure
    bnnp.symmetry_functions(structures, "input.nn")  list of (n_atoms, width) arrays
    bnnp.load("potential/").predict(structure)       energy, forces, stress, each with its sigma
    atoms.calc = bnnp.BNNP("potential/")             the same in ASE

Map, and the order to read it in::

    structure.py  units.py  errors.py        the nouns: a structure, its units, what can go wrong
    messages.py                              text for people: width, numbers with their nouns
    descriptors/                             structure -> symmetry functions, and their derivatives
    network/  random.py                      symmetry functions -> energies; dropout masks and their streams
    uncertainty/                             what a sigma is worth: calibration, distance, scores
    charges/                                 charges of the atoms, and their electrostatic energy
    repulsion.py                             between close nuclei, added to the networks
    model.py  prediction.py                  what a potential is made of; what it predicts, with its sigma
    core/                                    C++: descriptors/ and network/ once more, fast; reads a potential
    dynamics/  analysis/                     molecular dynamics and its stop rule; what a trajectory tells
    io/                                      one file format a module, both directions
    settings/                                input.nn: the table of keywords, typed sections of values
    potential/                               all of it: structure -> prediction; the files of a potential
    parallel.py  run.py  log.py              MPI; directory, settings and log of a run
    training/                                one training: loss, optimizers, evaluation, checkpoint
    interfaces/  api.py                      ASE, LAMMPS, n2p2; the calls above
    modes/  memory.py                        what `bnnp --mode 1|2|3` does, step by step
    command.py  cli.py                       how a command ends; the command and its verbs

Each package says in its first lines what belongs there and in which order to read it. A module imports only
what stands above it in this list (core/ is C++, and tests/test_imports.py has the whole rule): numerics take
arrays and plain numbers, and know no files, no MPI, no settings.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnnp.api import read_data, symmetry_functions
    from bnnp.interfaces.ase import BNNP
    from bnnp.potential.loading import load
    from bnnp.potential.potential import Potential
    from bnnp.prediction import Prediction
    from bnnp.structure import Structure

__version__ = "0.3.0"
__all__ = ["BNNP", "Potential", "Prediction", "Structure", "load", "read_data", "symmetry_functions"]

_HOMES = {
    "BNNP": "bnnp.interfaces.ase",
    "Potential": "bnnp.potential.potential",
    "Prediction": "bnnp.prediction",
    "Structure": "bnnp.structure",
    "load": "bnnp.potential.loading",
    "read_data": "bnnp.api",
    "symmetry_functions": "bnnp.api",
}


if not TYPE_CHECKING:  # a type checker shall believe the imports above, and no other name

    def __getattr__(name: str) -> object:
        """A public name, from its module (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module 'bnnp' has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
