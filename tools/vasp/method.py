"""How a run of VASP calculates, as the word of :mod:`bnnp.io.method`; the same from each kind of file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bnnp.errors import InputError
from vasp.step import Array

FUNCTIONALS = {
    "PE": "PBE",
    "PS": "PBEsol",
    "RP": "RPBE",
    "RE": "revPBE",
    "91": "PW91",
    "CA": "LDA",
    "AM": "AM05",
}
FAMILIES = {"PAW_PBE": "PBE", "PBE": "PBE", "PAW_GGA": "PW91", "GGA": "PW91"}  # in titles of POTCAR; else LDA
PRECISIONS = {name[0]: name for name in ("accurate", "normal", "high", "medium", "low", "single")}
BEYOND_DFT = re.compile(
    r"GW|G0W0|CHI|BSE|TDHF|RPA|ACFDT|TIMEEV|2E4W|MP2|OEP|EXX|^NONE|^NOTHING|^EIGENVAL|^SUBROT", re.IGNORECASE
)
FIXED_ORBITALS = (-1, 2, 3, 4)  # of IALGO
FIXED_DENSITY = "charge density fixed (ICHARG >= 10)"
TETRAHEDRA = (-4, -5)  # of ISMEAR: SIGMA has no effect
OTHER_FORCES = {
    "ICHAIN": (1, 2, 3),
    "IBRION": (44,),
    "MDALGO": (11, 21),
}  # VTST, dimer, metadynamics and bias
NUMBERS = re.compile(r"(?:\d+\*)?([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")  # 3*0.5 is three of them
UNFIT = re.compile(r"[\s,:]+")  # for a value of the word
NONE = ("", "--", "F", ".F.", ".FALSE.", "NONE")

Lookup = Callable[[str], str | None]  # what a file says about a tag of INCAR


@dataclass(frozen=True)
class Species:
    """What a run says about its species.

    Parameters
    ----------
    symbols, titles : sequence of str
        One a species; `titles` of POTCAR may be empty.
    counts : sequence of int
        Atoms of each.
    valences : sequence of float
        Electrons of an atom in POTCAR (ZVAL), one a species; others if the file does not say.
    """

    symbols: Sequence[str]
    titles: Sequence[str]
    counts: Sequence[int]
    valences: Sequence[float]

    @property
    def neutral(self) -> float | None:
        """Electrons of the neutral cell; None if the file does not say."""
        if not self.valences or len(self.valences) != len(self.counts):
            return None
        return sum(n * z for n, z in zip(self.counts, self.valences, strict=True))

    @property
    def electrons(self) -> tuple[float, ...]:
        """Those of each atom; none if the file does not say."""
        if self.neutral is None:
            return ()
        return tuple(z for n, z in zip(self.counts, self.valences, strict=True) for _ in range(n))


def real(tag: Lookup, name: str, default: float) -> float:
    """A tag that is a number. Raises InputError if it is something else."""
    text = (tag(name) or str(default)).split()[0]
    try:
        return float(text)
    except ValueError:
        raise InputError(f"the head of the file is damaged: {name} is `{text}`, expected a number") from None


def integer(tag: Lookup, name: str, default: int) -> int:
    """A tag that is a whole number. Raises InputError if it is something else."""
    value = real(tag, name, default)
    if value != round(value):
        raise InputError(f"the head of the file is damaged: {name} is `{value}`, expected a whole number")
    return round(value)


def excluded(tag: Lookup) -> str | None:
    """Why no step of a run is self-consistent DFT, with its own forces; None if the steps are."""
    algorithm = (tag("ALGO") or "").strip()
    if integer(tag, "ICHARG", 0) >= 10:
        return FIXED_DENSITY
    if BEYOND_DFT.search(algorithm):
        return f"no self-consistent DFT (ALGO = {algorithm})"
    if (number := integer(tag, "IALGO", 38)) in FIXED_ORBITALS:
        return f"no self-consistent DFT (IALGO = {number})"
    if _flag(tag("LOPTICS")) and integer(tag, "NELM", 60) == 1:
        return "no self-consistent DFT (LOPTICS with NELM = 1)"
    if (scale := real(tag, "SCALEE", 1.0)) != 1.0:
        return f"energies and forces are scaled (SCALEE = {scale:g})"
    if any(map(float, NUMBERS.findall(tag("EFOR") or ""))):
        return "external forces (EFOR) are in the forces"
    return None


def method_word(tag: Lookup, species: Species, mesh: Sequence[int] | None, cell: Array | None) -> str:
    """The word of a run.

    Parameters
    ----------
    tag : callable
        The text of a tag of INCAR, in effect or as it was set; None if the file does not say.
    species : Species
    mesh : sequence of int, optional
        Divisions of the regular k-point mesh.
    cell : (3, 3) float64, Angstrom, optional
        Rows are the lattice vectors.
    """
    pairs = {"xc": _functional(tag, species.titles)}
    if cutoff := real(tag, "ENCUT", 0.0):
        pairs["encut"] = f"{round(cutoff, 1):g}"  # OUTCAR has one decimal
    if precision := (tag("PREC") or "").strip().lower():
        pairs["prec"] = PRECISIONS.get(precision[0], precision)
    pairs["spin"] = _spin(tag)
    if species.neutral is not None and tag("NELECT"):
        pairs["charge"] = _charge(species.neutral - real(tag, "NELECT", 0.0))
    if mesh is not None and cell is not None and cell.shape == (3, 3) and abs(np.linalg.det(cell)) > 1e-6:
        pairs["k"] = mesh_word(mesh, cell)
    pairs |= _details(tag, sum(species.counts)) | _pseudopotentials(tag, species)
    return ",".join(f"{key}:{UNFIT.sub('_', value)}" for key, value in pairs.items() if value)


def mesh_word(mesh: Sequence[int], cell: Array) -> str:
    """Mesh and the distances of k-points that give it, as KSPACING does: N = ceil(|b| / distance)."""
    lengths = 2.0 * np.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
    low = max(length / n for length, n in zip(lengths, mesh, strict=True))
    high = max((length / (n - 1) for length, n in zip(lengths, mesh, strict=True) if n > 1), default=None)
    return f"{'x'.join(map(str, mesh))}@{low:.3g}-" + ("" if high is None else f"{max(low, high):.3g}")


def _functional(tag: Lookup, titles: Sequence[str]) -> str:
    """Functional of INCAR, else of POTCAR, and what is added to it: exact exchange, dispersion, a field."""
    gga, meta = ((tag(name) or "").strip().upper() for name in ("GGA", "METAGGA"))
    families = {FAMILIES.get(title.split()[0], "LDA") for title in titles if title.split()}
    name = "+".join(sorted(families)) if gga in NONE else FUNCTIONALS.get(gga, gga)
    if meta not in (*NONE, "T", ".T.", ".TRUE."):
        name = meta
    if _flag(tag("LHFCALC")):
        name += f"+HF{real(tag, 'AEXX', 0.25):g}"
        screening = real(tag, "HFSCREEN", 0.0)
        name += f"w{screening:g}" if screening else ""
    if _flag(tag("LUSE_VDW")):
        name += "+vdW-DF"
    if _flag(tag("LSOL")):
        name += "+solvent"
    if strength := real(tag, "EFIELD", 0.0):
        name += f"+field{strength:g}"
    correction = integer(tag, "IVDW", int(_flag(tag("LVDW"))))
    return f"{name}+IVDW{correction}" if correction else name


def _spin(tag: Lookup) -> str:
    """1, 2, noncollinear or spin-orbit; nothing if the file does not say."""
    if _flag(tag("LSORBIT")):
        return "spin-orbit"
    return "noncollinear" if _flag(tag("LNONCOLLINEAR")) else (tag("ISPIN") or "").strip()


def _charge(charge: float) -> str:
    """The charge of a cell in e: 0, +1, -0.5; electrons are printed with four decimals."""
    return f"{charge:+.4g}" if abs(charge) > 1e-3 else "0"


def _details(tag: Lookup, n_atoms: int) -> dict[str, str]:
    """What changes energies by less, as far as the file says it, and runs whose forces may be others."""
    pairs = {}
    if tag("ISMEAR"):
        kind = integer(tag, "ISMEAR", 1)
        width = "" if kind in TETRAHEDRA else f"@{real(tag, 'SIGMA', 0.2):.2f}"  # OUTCAR has two decimals
        pairs["smearing"] = f"{kind}{width}"
    if _spin(tag) not in ("", "1") and tag("NUPDOWN"):
        moment = real(tag, "NUPDOWN", -1.0)
        pairs["moment"] = "free" if moment == -1.0 else f"{moment / max(n_atoms, 1):.3g}_an_atom"
    if tag("IDIPOL"):
        direction = integer(tag, "IDIPOL", 0)
        potential = "+LDIPOL" if _flag(tag("LDIPOL")) else ""
        pairs["dipole"] = f"IDIPOL{direction}{potential}" if direction else "F"
    if tag("LASPH"):
        pairs["lasph"] = str(_flag(tag("LASPH")))[0]
    if projection := (tag("LREAL") or "").strip(" .").upper():
        pairs["lreal"] = "F" if projection.startswith(("F", "0")) else "T"
    if tag("ADDGRID"):
        pairs["addgrid"] = str(_flag(tag("ADDGRID")))[0]
    if tolerance := abs(real(tag, "EDIFF", 0.0)):
        pairs["ediff"] = f"{tolerance:.0e}"
    if integer(tag, "IMAGES", 0) > 0:
        pairs["run"] = "nudged_elastic_band"
    for name, values in OTHER_FORCES.items():
        if (value := integer(tag, name, 0)) in values:
            pairs["run"] = f"{name}_{value}"
    return pairs


def _pseudopotentials(tag: Lookup, species: Species) -> dict[str, str]:
    """For each element the title of its POTCAR, with U and J where LDAU is on."""
    count = len(species.symbols)
    us, js, orbitals = ([""] * count for _ in range(3))
    if _flag(tag("LDAU")):
        us, js, orbitals = (_a_species(tag(name), count) for name in ("LDAUU", "LDAUJ", "LDAUL"))
    words: dict[str, list[str]] = {}
    titles = species.titles if len(species.titles) == count else [""] * count
    for symbol, title, u, j, orbital in zip(species.symbols, titles, us, js, orbitals, strict=True):
        word = "_".join(title.split())
        for name, value in (("U", u), ("J", j)):
            if value and orbital != "-1" and float(value) != 0.0:
                word += f"+{name}{float(value):g}"
        if word and word not in words.setdefault(symbol, []):
            words[symbol].append(word)
    return {symbol: "+".join(found) for symbol, found in words.items() if found}


def valences_of(potcar: bytes) -> list[float]:
    """ZVAL of each species, from the heads of POTCAR."""
    return [float(value) for value in re.findall(rb"; *ZVAL *= *(\d+\.\d*) ", potcar)]


def _a_species(text: str | None, count: int) -> list[str]:
    """One word a species; empty ones if there are not as many."""
    words = (text or "").split()
    return words if len(words) == count else [""] * count


def _flag(text: str | None) -> bool:
    """A Fortran logical; False if the file does not say."""
    return (text or "").strip(" .").upper().startswith(("T", "1"))
