"""Keywords of all modes: what is computed, on which elements, with which structures."""

from __future__ import annotations

from dataclasses import dataclass

from bnnp.settings.arguments import atom_energy, choice, flag, generation, integer, pair, real, size, text
from bnnp.settings.keywords.record import BNNP, BOTH, RUNNER, Section, keyword


# fmt: off
@dataclass(frozen=True)
class GeneralSettings(Section, title="General", modes="123", dialect=BOTH):
    """Keywords of all modes: elements, units, random numbers, resources."""

    runner_mode: int | None = keyword("1|2|3", integer(1, 3), None,
        "1 symmetry functions, 2 training, 3 prediction; the option --mode wins", dialect=RUNNER)
    units: str = keyword("atomic|metal", choice("atomic", "metal"), "atomic",
        "bohr and hartree, or Angstrom and eV, for every number in every file", dialect=BNNP)
    check_units: bool = keyword("", flag, True,
        "stop where the distances in input.data are those of the other units", modes="13", dialect=BNNP,
        note="`check_units .false.` makes a warning of it, for structures that are no bonded matter.")
    number_of_elements: int | None = keyword("n", integer(1, 102), None,
        "number of chemical elements, if it is to be compared with `elements`")
    elements: tuple[str, ...] = keyword("X Y ...", text, None,
        "element symbols in any order; sorted by atomic number inside",
        note="The only keyword without which no mode can run.")
    atom_energy: tuple[tuple[str, float], ...] = keyword("X E | fit", atom_energy, (),
        "energy of the free atom X, subtracted before training, added back in prediction",
        unit="energy", repeatable=True,
        note="In effect with remove_atom_energies, or in an n2p2 input, where the lines alone switch it on. "
             "`atom_energy fit` alone: mode 2 takes the least-squares energies of its training set.")
    remove_atom_energies: bool = keyword("", flag, False,
        "switches the atom_energy lines on (RuNNer)", dialect=RUNNER)
    zbl_repulsion: tuple[float, float] | None = keyword("r_in r_out", pair, None,
        "repulsion of close nuclei, subtracted in training, added in prediction; zero beyond r_out",
        unit="length", modes="23", dialect=BNNP,
        note="Ziegler, Biersack, Littmark (1985), switched off from r_in to r_out as by pair_style zbl of "
             "LAMMPS. r_out: about the shortest distance in the data.")
    nn_type_short: int = keyword("1", integer(1, 1), 1,
        "1: atomic Behler-Parrinello networks", dialect=RUNNER,
        note="2 (pair networks) is not part of bnnp.")
    use_short_nn: bool = keyword("", flag, False,
        "the short-range network; bnnp has no other, so it is always on", dialect=RUNNER)
    nnp_gen: int = keyword("2|3|4", generation, 2,
        "generation of the network potential; 3: charges of networks, 4: charges that equilibrate",
        tier="R", aliases=("nnp_type", "nnp_type_gen", "nnp_generation"),
        note="Also n2p2's 2G-HDNNP and 4G-HDNNP, and 3G-HDNNP. Mode 2 first trains the charges, then energies"
             " and forces; the files of 4 are those of n2p2. fixed_charge goes with 2 and 3.")
    random_seed: int = keyword("n", integer(0), 200,
        "seed of all random numbers: split, weights, order, dropout masks")
    threads: int = keyword("n", integer(0), 0,
        "threads of each process; 0: OMP_NUM_THREADS, else all cores, or 1 a rank with MPI", dialect=BNNP)
    memory_limit: int = keyword("size", size, 4 * 10 ** 9,
        "memory (or disk, for stored derivatives) a run may take, such as 500 MB or 4 GB",
        modes="12", dialect=BNNP)


@dataclass(frozen=True)
class StructureSettings(Section, title="Structures", modes="1", dialect=RUNNER):
    """Which structures of input.data are used, and for what."""

    test_fraction: float = keyword("x", real(0.0, below=1.0), 0.1,
        "chance of a structure to be kept for testing, unless `begin set=train|test` pins it",
        dialect=BOTH)
    bond_threshold: float = keyword("r", real(0.0), 0.5,
        "atoms closer than this: mode 1 drops the structure, mode 3 stops", modes="13", unit="length")
    energy_threshold: float | None = keyword("E", real(), None,
        "drop structures with a total energy per atom at or above this", tier="R", unit="energy/atom")
    force_threshold: float | None = keyword("F", real(above=0.0), None,
        "drop structures with a force component beyond this", tier="R", unit="force")
    check_input_forces: float = keyword("F", real(0.0), 0.001,
        "warn about structures whose net force is larger than this", tier="R", unit="force")
    use_short_forces: bool = keyword("", flag, True,
        "train on forces, too; without the keyword where the data has any", modes="12", dialect=BOTH,
        note="`use_short_forces .false.` trains on energies alone.")
    derivatives: str = keyword("stored|recomputed|auto", choice("stored", "recomputed", "auto"), "auto",
        "keep derivatives of the symmetry functions on disk; auto: if they fit memory_limit",
        modes="12", dialect=BNNP)
    write_runner_files: bool = keyword("", flag, False,
        "also write function.data, testing.data, trainstruct.data, ... as RuNNer does", dialect=BNNP)
