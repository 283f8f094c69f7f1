"""How energies and forces were calculated: ``method=`` in the comment line of input.data.

One word of ``key:value`` pairs, joined by commas; pairs that a file does not tell are left out::

    method=xc:PBE,encut:520,prec:accurate,spin:1,k:2x2x2@0.42-0.84,Ge:PAW_PBE_Ge_d_03Jan2001

    xc        functional, with exact exchange and van der Waals correction
    encut     plane-wave cutoff, eV
    charge    of the cell in e, from NELECT and the electrons of the pseudopotentials
    k         mesh, and the smallest and largest distance of k-points (1/Angstrom, with 2 pi) that gives it
    smearing  ISMEAR@SIGMA; moment: free, or what NUPDOWN fixes; lasph, lreal, addgrid: T or F
    dipole    direction of the correction (IDIPOL), and whether it acts on the potential (LDIPOL)
    ediff     EDIFF, eV
    run       one whose forces may have those of springs or of a bias
    Ge ...    pseudopotential of the element, and its U and J in eV

Structures that are trained together must agree in every pair that they share. Meshes agree where one distance
of k-points gives both, so that a supercell agrees with its unit cell; equal meshes may differ by
`SAME_MESH`, which is a strained cell. Values of EDIFF agree unless one is `LOOSE`, and ten times another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain

SAME_MESH = 1.25  # ratio of distances that equal meshes may have
LOOSE = 1e-3  # EDIFF in eV
DETAILS = ("smearing", "lreal", "addgrid", "ediff")
SHOWN = 3  # places named for each value


def disagreements(places: Mapping[str, Collection[str]]) -> Iterator[str]:
    """A warning for each quantity in which methods differ.

    Parameters
    ----------
    places : mapping of str to collection of str
        For each ``method=`` the files or groups that have it.
    """
    methods = {word: dict(pair.partition(":")[::2] for pair in word.split(",")) for word in places if word}
    for key in dict.fromkeys(chain.from_iterable(methods.values())):
        values: dict[str, list[str]] = {}
        for word, pairs in methods.items():
            if key in pairs:
                values.setdefault(pairs[key], []).extend(places[word])
        if key == "run":
            shown = "; ".join(f"{value} ({_named(values[value])})" for value in values)
            yield (
                f"runs that are no plain DFT: {shown}. Their forces may include those of springs or a bias, "
                "which do not belong to the energies: compare one structure with a calculation of its own"
            )
            continue
        different = _meshes_apart(values) if key == "k" else list(values)
        if key == "ediff":
            different = _tolerances_apart(values)
        if len(different) > 1:
            shown = "; ".join(f"{value} in {_named(values[value])}" for value in different)
            effect = (
                "may differ by some meV/atom" if key in DETAILS else "differ by more than the structures do"
            )
            yield (
                f"calculations that do not belong together, {_title(key)}: {shown}. Their energies {effect}: "
                "repeat one of them, or train on one only"
            )


def group_disagreements(groups: Mapping[str, Collection[str]]) -> Iterator[str]:
    """The same for groups of one file, of which the empty name is that of structures without a group."""
    return disagreements(
        {
            method: {f"group {name}" if name else "structures without a group" for name in names}
            for method, names in groups.items()
        }
    )


def _title(key: str) -> str:
    """A key in words."""
    titles = {
        "xc": "functional",
        "encut": "ENCUT (eV)",
        "prec": "PREC",
        "spin": "spin",
        "charge": "charge of the cell (NELECT, e)",
        "k": "k-point density (mesh@distance in 1/Angstrom)",
        "smearing": "smearing (ISMEAR@SIGMA in eV)",
        "moment": "magnetic moment of the cell (NUPDOWN)",
        "dipole": "dipole correction (IDIPOL, LDIPOL)",
        "lasph": "LASPH",
        "lreal": "LREAL",
        "addgrid": "ADDGRID",
        "ediff": "EDIFF (eV)",
    }
    return titles.get(key, f"pseudopotential of {key}")


def _named(places: Collection[str]) -> str:
    """Some places, and how many more there are."""
    names = sorted(set(places))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _meshes_apart(values: Collection[str]) -> list[str]:
    """The coarsest and the finest of the meshes, if no distance of k-points gives both."""
    ranges = {value: _distances(value) for value in values}
    coarse = max(ranges, key=lambda value: ranges[value][0])
    fine = min(ranges, key=lambda value: ranges[value][1])
    same = coarse.partition("@")[0] == fine.partition("@")[0]
    apart = ranges[coarse][0] >= ranges[fine][1] * (SAME_MESH if same else 1.0)
    return [coarse, fine] if apart else [coarse]


def _tolerances_apart(values: Collection[str]) -> list[str]:
    """The largest and the smallest EDIFF, if the larger one matters beside it."""
    try:
        small, *_, large = sorted(values, key=float) * 2
        return [large, small] if float(large) >= max(LOOSE, 10.0 * float(small)) else [small]
    except ValueError:  # somebody has written something else
        return list(values)


def _distances(mesh: str) -> tuple[float, float]:
    """Smallest and largest distance of ``4x4x4@0.39-0.52``; all of them if it is not written so."""
    low, _, high = mesh.partition("@")[2].partition("-")
    try:
        return float(low), float(high) if high else float("inf")
    except ValueError:
        return 0.0, float("inf")
