"""In which units an input.data is: those of an input.nn in the same directory, as in mode 3 and in ASE.

Where none says anything, new data sets are in Angstrom and eV (``units metal``), and so a file is taken to
be, unless --units says otherwise or its shortest distances are those of bohr.
"""

from __future__ import annotations

from pathlib import Path

import click

from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile
from bnnp.units import ATOMIC, METAL, UNITS, Units

units_option = click.option(
    "--units",
    type=click.Choice(list(UNITS)),
    help="Units of input.data: atomic (bohr, hartree) or metal (Angstrom, eV). Default: `units` of an "
    "input.nn in the same directory, else metal.",
)


def stated_units(path: Path) -> Units | None:
    """`units` of the input.nn in the directory of a file; None if it is not there or does not say.

    Raises
    ------
    InputError
        It names other units than bnnp knows.
    """
    settings = path.resolve().with_name("input.nn")
    if not settings.is_file():
        return None
    from bnnp.io.input_nn import read_input_nn  # brings torch, which a file without settings does not need

    for line in read_input_nn(settings):
        if line.name == "units":
            if len(line.words) != 1 or line.words[0] not in UNITS:
                raise InputError(
                    f"{line.where}: units is `{' '.join(line.words)}`, expected one of {', '.join(UNITS)}"
                )
            return UNITS[line.words[0]]
    return None


def has_settings(path: Path) -> bool:
    """Whether there is an input.nn in the directory of a file."""
    return path.resolve().with_name("input.nn").is_file()


def input_units(path: Path, said: Units | None, contradict: bool = False) -> Units:
    """The units of an input.data that is read.

    Parameters
    ----------
    said : Units or None
        Those of --units.
    contradict : bool
        Whether --units may differ from input.nn, as it speaks of the output, too.

    Raises
    ------
    InputError
        --units contradicts input.nn; or nothing is said, and the distances are those of bohr.
    """
    stated = stated_units(path)
    if stated is not None:
        if said not in (None, stated) and not contradict:
            raise InputError(
                f"{path}: --units {said.name} contradicts `units {stated.name}` of the input.nn beside it; "
                "leave --units out, or correct input.nn"
            )
        return stated
    if said is not None:
        return said
    if has_settings(path):
        return ATOMIC  # the default of the keyword
    if looks_like(path, METAL) is ATOMIC:
        raise InputError(
            f"{path} looks like bohr and hartree, and neither --units nor an input.nn beside it says so; add "
            "--units atomic, or --units metal if it is in Angstrom and eV"
        )
    return METAL


def reason_of_units(path: Path, said: Units | None) -> str:
    """Why `input_units` takes an input.data to be in these units."""
    if (stated := stated_units(path)) is not None:
        return f"`units {stated.name}` of the input.nn beside it"
    if said is not None:
        return f"--units {said.name}"
    return "the default of the input.nn beside it" if has_settings(path) else "the default"


def output_units(path: Path, said: Units | None) -> Units:
    """The units of an input.data that is written.

    Raises
    ------
    InputError
        --units contradicts the input.nn beside it, with which it will be read.
    """
    stated = stated_units(path)
    if stated is None:
        return said or (ATOMIC if has_settings(path) else METAL)
    if said not in (None, stated):
        raise InputError(
            f"{path}: --units {said.name} contradicts `units {stated.name}` of the input.nn beside it, with "
            "which it would be read; leave --units out, or write to another directory"
        )
    return stated


def demand_readable(path: Path, units: Units) -> None:
    """Refuse to write a file in other units than those of the input.nn beside it."""
    if has_settings(path) and (stated := stated_units(path) or ATOMIC) is not units:
        raise InputError(
            f"{path} would be in {units.length} and {units.energy}, but the input.nn beside it means `units "
            f"{stated.name}`; write to another directory, or convert it with bnnp convert"
        )


def looks_like(path: Path, units: Units) -> Units:
    """The units that the shortest distances of a file speak for: `units`, unless only the others fit."""
    if not path.is_file() or path.stat().st_size == 0:
        return units
    from bnnp.descriptors.length_unit import better_units, sampled_reaches  # 40 MB a new file does not need

    return better_units(sampled_reaches(StructureFile(path, require_labels=False), units), units) or units
