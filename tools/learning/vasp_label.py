"""Labels by VASP: the directory of a calculation from a template, and what came of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import ase.io
from vasp.files import Source, find_sources
from vasp.species import from_title
from vasp.step import UNCONVERGED
from vasp2data import Choice, Tally, read_file, reason_of

from bnnp.errors import InputError
from bnnp.io.ase_atoms import to_atoms
from bnnp.structure import Structure
from bnnp.units import Units
from learning.local_job import SCRIPT

NEEDED = ("INCAR", "KPOINTS", "label.sh")
RETRIED = (  # tags that change how the electronic minimum is found, not what it is
    *("ALGO", "NELM", "NELMIN", "NELMDL", "AMIX", "BMIX", "AMIX_MAG", "BMIX_MAG", "AMIN", "MAXMIX", "TIME"),
    *("IMIX", "WC", "INIMIX", "MIXPRE", "ICHARG", "ISTART"),
)
TAG = re.compile(r"^\s*([A-Za-z_]+)\s*=\s*([^#!;]*)")


def demand_template(template: Path, elements: Sequence[str]) -> None:
    """Raise InputError if the template lacks a file, or a POTCAR is of another element."""
    if not template.is_dir():
        raise InputError(
            f"label_template: {template} is no directory; make it, with {', '.join(NEEDED)} and POTCAR.X"
        )
    missing = [name for name in NEEDED if not (template / name).is_file()]
    missing += [f"POTCAR.{x}" for x in elements if not (template / f"POTCAR.{x}").is_file()]
    if missing:
        raise InputError(
            f"label_template: {template} has no {', '.join(missing)}; POTCAR.X is a copy of, or a link "
            "to, the POTCAR of element X"
        )
    for element in elements:
        path = template / f"POTCAR.{element}"
        with open(path, errors="replace") as file:
            title = file.readline().strip()
        if from_title(title) != element:
            raise InputError(
                f"{path}: is `{title[:40]}`, expected a POTCAR of {element}, such as `PAW_PBE {element} "
                "...`; put the right file there"
            )
    steps = tags(template / "INCAR").get("NSW", "0")
    if steps not in ("0", "1"):
        raise InputError(
            f"{template / 'INCAR'}: NSW = {steps}: a label is the energy of one structure, which must "
            "not move; write NSW = 0"
        )


def demand_retry(changes: Sequence[tuple[str, str]], where: str) -> None:
    """Raise InputError if ``label_retry`` has a tag that makes another calculation."""
    if wrong := [name for name, _ in changes if name.upper() not in RETRIED]:
        raise InputError(
            f"{where}: label_retry {wrong[0]}: would be another calculation, whose energies do not "
            f"belong to the others; expected tags of the electronic minimization: {', '.join(RETRIED)}"
        )


def tags(path: Path) -> dict[str, str]:
    """Tags of an INCAR, in capitals, with the first word of their values."""
    lines = path.read_text(errors="replace").replace(";", "\n").splitlines()
    found = (match for line in lines if (match := TAG.match(line)))
    return {match[1].upper(): (match[2].split() or [""])[0] for match in found}


def prepare(
    folder: Path, structure: Structure, units: Units, template: Path, changes: Sequence[tuple[str, str]]
) -> None:
    """Fill the directory of a calculation: POSCAR, POTCAR in its order, and the files of the template.

    Parameters
    ----------
    changes : sequence of (str, str)
        Tags of INCAR that are changed, for a second try.
    """
    for path in sorted(template.iterdir()):
        if path.is_file() and not path.name.startswith("POTCAR"):
            shutil.copy(path, folder / path.name)
    (folder / "label.sh").rename(folder / SCRIPT)
    ase.io.write(folder / "POSCAR", to_atoms(structure, units), format="vasp", direct=True)
    with open(folder / "POTCAR", "wb") as file:
        for element, _ in groupby(structure.symbols):
            file.write((template / f"POTCAR.{element}").read_bytes())
    if changes:
        path = folder / "INCAR"
        path.write_text(changed_incar(path.read_text(errors="replace"), dict(changes)))


def changed_incar(text: str, changes: Mapping[str, str]) -> str:
    """An INCAR with other values of some tags."""
    names = {name.upper() for name in changes}
    lines = [
        line
        for line in text.replace(";", "\n").splitlines()
        if not ((m := TAG.match(line)) and m[1].upper() in names)
    ]
    return "\n".join([*lines, *(f"{name} = {value}" for name, value in changes.items()), ""])


def read_label(folder: Path, units: Units) -> tuple[Structure | None, str, bool]:
    """The last step of the calculation in a directory; or why there is none, and if it did not converge."""
    try:
        (source, *others) = find_sources(folder)
    except InputError as error:
        return None, str(error), False
    if others:
        return None, "several calculations in one directory", False
    return _read(source, units)


def _read(source: Source, units: Units) -> tuple[Structure | None, str, bool]:
    reasons = []
    for path in (source.path, *source.others):
        tally = Tally()
        try:
            found = list(read_file(path, Choice(units, last=True), tally))
        except Exception as error:  # as bnnp vasp: a file nobody has thought of is a failed label
            reasons.append(f"{path.name}: {reason_of(error)}")
            continue
        if tally.left_out[UNCONVERGED]:
            return None, UNCONVERGED, True
        if found:
            return found[0], "", False
        reasons.append(f"{path.name}: {tally.reasons() or 'no ionic step was finished'}")
    return None, "; ".join(reasons), False
