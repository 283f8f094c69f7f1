"""A made-up VASP: writes a few steps as OUTCAR, vasprun.xml, vaspout.h5 and ML_AB, in VASP's formats."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

RULE = " " + "-" * 83
NELM = 8


@dataclass(frozen=True)
class FakeStep:
    """One ionic step: Angstrom, eV, kB in VASP's order XX YY ZZ XY YZ ZX."""

    cell: np.ndarray
    positions: np.ndarray
    energy: float
    sigma0: float
    forces: np.ndarray
    kilobar: tuple[float, ...]
    iterations: int = 5
    predicted: bool = False  # by a machine-learned force field


@dataclass(frozen=True)
class FakeRun:
    """A run of a few steps, and how it is written."""

    steps: tuple[FakeStep, ...]
    species: tuple[tuple[str, int], ...] = (("O", 1), ("H", 2))
    titles: bool = True
    isif: int = 2
    nwrite: int = 2
    pstress: float = 0.0
    vdw: bool = False
    version: str = "6.3.2"
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def symbols(self) -> list[str]:
        """One symbol an atom."""
        return [symbol for symbol, count in self.species for _ in range(count)]

    def change(self, index: int, **changes: object) -> FakeRun:
        """The same run with one step changed."""
        steps = list(self.steps)
        steps[index] = replace(steps[index], **changes)  # type: ignore[arg-type]
        return replace(self, steps=tuple(steps))

    def outcar(self) -> str:
        """The text of OUTCAR."""
        parts = [self._outcar_header()]
        for number, step in enumerate(self.steps, 1):
            parts.append(self._predicted(step) if step.predicted else self._computed(number, step))
            parts.append("     LOOP+:  cpu time    4.7344: real time    4.7387\n")
        parts.append(" General timing and accounting informations for this job:\n")
        return "".join(parts)

    def _outcar_header(self) -> str:
        lines = [f" vasp.{self.version} 27Jun22 (build Nov  2 2022 15:16:22) complex", ""]
        if self.titles:
            lines += [f" POTCAR:    PAW_PBE {symbol} 08Apr2002" for symbol, _ in self.species] * 2
            for symbol, _ in self.species:
                lines += [f"   VRHFIN ={symbol}: s2p4", f"   TITEL  = PAW_PBE {symbol} 08Apr2002"]
        counts = [count for _, count in self.species]
        lines += [
            " Dimension of arrays:",
            f"   number of dos      NEDOS =    301   number of ions     NIONS = {sum(counts):6d}",
            "   ions per type =            " + "".join(f"{count:4d}" for count in counts[:10]),
        ]
        rest = counts[10:]  # Fortran starts its format again
        lines += [" Dimension of arrays:"] * bool(rest) + [f"   k-points    NKPTS = {n:6d}" for n in rest]
        lines += [
            "   NGX,Y,Z   is equivalent  to a cutoff of  12.42, 12.42, 12.42 a.u.",
            f"   NWRITE = {self.nwrite:6d}    write-flag & timer",
            f"   NELM   = {NELM:6d};   NELMIN=  2; NELMDL= -5     # of ELM steps",
            f"   ISIF   = {self.isif:6d}    stress and relaxation",
            "  Mass of Ions in am",
            "   POMASS = " + "".join(f"{MASSES[symbol]:6.2f}" for symbol, _ in self.species),
            "",
        ]
        return "\n".join(lines)

    def _computed(self, number: int, step: FakeStep) -> str:
        lines = []
        for iteration in range(1, step.iterations + 1):
            lines += [
                f"--------------------------------------- Iteration {number:6d}({iteration:4d})  ----------",
                "  free energy    TOTEN  =        99.00000000 eV",
                "  energy without entropy =       99.00000000  energy(sigma->0) =       99.00000000",
            ]
        lines.append("------------------------ aborting loop because EDIFF is reached --------------------")
        if self.isif > 0:
            lines += [
                "  Direction    XX          YY          ZZ          XY          YZ          ZX",
                "  in kB   " + "".join(f"{x:12.5f}" for x in step.kilobar),
                f"  external pressure =       -2.32 kB  Pullay stress = {self.pstress:11.2f} kB",
            ]
        first_or_last = number in (1, len(self.steps))
        if self.nwrite > 0 or first_or_last:
            lines += [" VOLUME and BASIS-vectors are now :", *_lattice(step.cell), *self._forces(step)]
        lines += ["  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)", "  " + "-" * 51]
        vdw, ev = ("    w/o vdW =       -33.36815582", " eV") if self.vdw else ("", "")
        lines += [
            f"  free  energy   TOTEN  = {step.energy:18.8f} eV{vdw}",
            "",
            f"  energy  without entropy= {step.energy + 0.1:16.8f}{ev}{vdw}  "
            f"energy(sigma->0) = {step.sigma0:16.8f}{ev}{vdw}",
        ]
        if self.pstress:
            lines += ["  enthalpy is  TOTEN    =        77.62415064 eV   P V=        0.62415064"]
        lines += ["% ion-electron   TOTEN  =        99.000000  see above", ""]
        return "\n".join(lines)

    def _forces(self, step: FakeStep) -> list[str]:
        without = ",                                   FORCE-w/o vdW (eV/Angst)" if self.vdw else ""
        lines = [f" POSITION                                       TOTAL-FORCE (eV/Angst){without}", RULE]
        for position, force in zip(step.positions, step.forces, strict=True):
            row = "".join(f"{x:13.5f}" for x in position) + "    " + "".join(f"{x:14.6f}" for x in force)
            lines.append(row + "           NaN     -0.302265      0.012345" * self.vdw)
        return [
            *lines,
            RULE,
            "    total drift:                                0.001200      0.017895     -0.013715",
        ]

    def _predicted(self, step: FakeStep) -> str:
        lines = [
            "  ML FORCE on cell =-STRESS in cart. coord. units (eV/cell)",
            "  in kB   " + "".join(f"{x:12.5f}" for x in step.kilobar),
            *_lattice(step.cell),
            "  POSITION                                       TOTAL-FORCE (eV/Angst) (ML)",
            *self._forces(step)[1:],
            "  ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
            "  " + "-" * 51,
            f"  free  energy ML TOTEN  = {step.energy:18.8f} eV",
            "",
            f"  ML energy  without entropy= {step.energy:16.8f}  ML energy(sigma->0) = {step.sigma0:16.8f}",
            "",
        ]
        return "\n".join(lines)

    def vasprun(self) -> str:
        """The text of vasprun.xml; e_0_energy at the end of a step is as wrong as VASP 5 makes it."""
        rows = "".join(
            f"    <rc><c>{symbol:2}</c><c>{kind:4d}</c></rc>\n"
            for kind, (symbol, count) in enumerate(self.species, 1)
            for _ in range(count)
        )
        types = "".join(
            f"    <rc><c>{count:4d}</c><c>{symbol:2}</c><c>     16.00000000</c>"
            f"<c>{1.0 if symbol == 'H' else 6.0:16.8f}</c>"
            f"<c>  PAW_PBE {symbol} 08Apr2002                   </c></rc>\n"
            for symbol, count in self.species
        )
        head = f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator>
  <i name="version" type="string">{self.version} </i>
 </generator>
 <parameters>
   <separator name="electronic convergence" >
    <i type="int" name="NELM">{NELM:6d}</i>
   </separator>
   <i type="int" name="ISIF">{self.isif:6d}</i>
   <i name="PSTRESS"> {self.pstress:16.8f}</i>
   <separator name="response functions" >
    <i type="int" name="NELM">     1</i>
   </separator>
 </parameters>
 <atominfo>
  <atoms>{len(self.symbols):8d} </atoms>
  <array name="atoms" >
   <field type="string">element</field>
   <set>
{rows}   </set>
  </array>
  <array name="atomtypes" >
   <field type="string">pseudopotential</field>
   <set>
{types}   </set>
  </array>
 </atominfo>
 <structure name="initialpos" >
 </structure>
"""
        return head + "".join(self._calculation(step) for step in self.steps) + "</modeling>\n"

    def _calculation(self, step: FakeStep) -> str:
        work = self.pstress * abs(np.linalg.det(step.cell)) / 1602.17733  # P V in eV, VASP's constants
        electronic = step.energy + 3.0 * self.vdw  # without the correction
        loops = "".join(
            _scstep(step, electronic + 0.5 ** (15 - left) * (left > 0), left in (0, step.iterations - 1))
            for left in reversed(range(step.iterations))
        )
        xx, yy, zz, xy, yz, zx = step.kilobar
        stress = [(xx, xy, zx), (xy, yy, yz), (zx, yz, zz)]
        body = f"""  <structure>
   <crystal>
{_varray("basis", step.cell)}    <i name="volume"> {abs(np.linalg.det(step.cell)):16.8f} </i>
{_varray("rec_basis", np.linalg.inv(step.cell).T)}   </crystal>
{_varray("positions", step.positions @ np.linalg.inv(step.cell))}  </structure>
{_varray("forces", step.forces)}{_varray("stress", stress) if self.isif else ""}  <energy>
   <i name="e_fr_energy"> {step.energy + work:16.8f} </i>
   <i name="e_wo_entrp"> {step.sigma0 + work:16.8f} </i>
   <i name="e_0_energy"> {-0.33518711:16.8f} </i>
  </energy>
"""
        if step.predicted:
            return body
        after = _scstep(step, electronic, False) * NELM  # linear response
        after = "  <kpoints>\n  </kpoints>\n" + after + "  <dos>\n  </dos>\n"
        return " <calculation>\n" + loops + body + after + " </calculation>\n"

    def vaspout(self, path: Path, flags: bool = True, incar: dict[str, object] | None = None) -> Path:
        """Write vaspout.h5."""
        with h5py.File(path, "w") as h5:
            for name, value in (incar or {"NELM": NELM}).items():
                h5[f"input/incar/{name}"] = value
            h5["results/positions/ion_types"] = np.array([f"{s:2}" for s, _ in self.species], dtype="S2")
            h5["results/positions/number_ion_types"] = [count for _, count in self.species]
            h5["results/positions/scale"] = 1.0
            group = h5.create_group("intermediate/ion_dynamics")
            tags = ("free energy    TOTEN   ", "energy without entropy", "energy(sigma->0)       ")
            group["energies_tags"] = np.array(tags, dtype="S23")
            group["energies"] = [[step.energy, step.energy + 0.1, step.sigma0] for step in self.steps]
            group["forces"] = [step.forces for step in self.steps]
            group["lattice_vectors"] = [step.cell for step in self.steps]
            group["position_ions"] = [step.positions @ np.linalg.inv(step.cell) for step in self.steps]
            kilobar = np.array([step.kilobar for step in self.steps])
            group["stress"] = kilobar[:, [0, 3, 5, 3, 1, 4, 5, 4, 2]].reshape(-1, 3, 3)
            iterations = [step.iterations for step in self.steps]
            if flags:
                group["electronic_step_converged"] = [[int(number >= NELM)] for number in iterations]
            else:
                counts = np.concatenate([np.arange(1, number + 1) for number in iterations])
                group["oszicar"] = np.column_stack([counts, *[np.zeros(len(counts))] * 6])
        return path

    def ml_ab(self) -> str:
        """The text of ML_AB."""
        star, double, single = ("*" * 50, "=" * 50, "-" * 50)
        lines = [" 1.0 Version", star, "     The number of configurations", single, f"     {len(self.steps)}"]
        listed = " ".join(dict.fromkeys(symbol for symbol, _ in self.species))
        lines += [star, "     The atom types in the data file", single, f"     {listed}"]
        lines += [star, "     Reference atomic energy (eV)", single, "   0.0000  0.0000"]
        for number, step in enumerate(self.steps, 1):
            xx, yy, zz, xy, yz, zx = step.kilobar
            sections = {
                "System name": ["     water"],
                "The number of atom types": [f"     {len(self.species)}"],
                "The number of atoms": [f"     {len(self.symbols)}"],
                "Atom types and atom numbers": [f"     {s:2} {n:6d}" for s, n in self.species],
                "CTIFOR": ["   2.0000000000000E-003"],
                "Primitive lattice vectors (ang.)": _matrix(step.cell),
                "Atomic positions (ang.)": _matrix(step.positions),
                "Total energy (eV)": [f"  {step.energy:.12f}"],
                "Forces (eV ang.^-1)": _matrix(step.forces),
            }
            lines += [star, f"     Configuration num. {number:6d}"]
            for title, data in sections.items():
                lines += [double, f"     {title}", single, *data]
            lines += [double, "     Stress (kbar)", single, "     XX YY ZZ", single, *_matrix([(xx, yy, zz)])]
            lines += [single, "     XY YZ ZX", single, *_matrix([(xy, yz, zx)])]
        return "\n".join([*lines, star]) + "\n"


MASSES = {
    "H": 1.0,
    "O": 16.0,
    "Ti": 47.88,
    "Ge": 72.61,
    "Te": 127.6,
    "Co": 58.93,
    "Ni": 58.69,
    "Xe": 131.29,
    "Zr": 91.22,
}


def _lattice(cell: np.ndarray) -> list[str]:
    """The lattice as OUTCAR has it."""
    lines = [
        f"  volume of cell : {abs(np.linalg.det(cell)):11.2f}",
        "      direct lattice vectors                 reciprocal lattice vectors",
    ]
    for vector, other in zip(cell, np.linalg.inv(cell).T, strict=True):
        lines.append(
            "   " + "".join(f"{x:13.9f}" for x in vector) + "   " + "".join(f"{x:13.9f}" for x in other)
        )
    return lines


def _scstep(step: FakeStep, energy: float, full: bool) -> str:
    """An electronic iteration; `full` is the first and the last one."""
    ewald = f'    <i name="ewald"> {-1000.0 * np.linalg.norm(step.positions):16.8f} </i>\n'
    return f"""  <scstep>
   <energy>
{ewald if full else ""}    <i name="e_fr_energy"> {energy:16.8f} </i>
    <i name="e_wo_entrp"> {energy + 0.1:16.8f} </i>
    <i name="e_0_energy"> {energy + step.sigma0 - step.energy:16.8f} </i>
   </energy>
  </scstep>
"""


def _varray(name: str, rows: object) -> str:
    lines = "".join(f"   <v> {a:16.8f} {b:16.8f} {c:16.8f} </v>\n" for a, b, c in np.asarray(rows).tolist())
    return f'  <varray name="{name}" >\n{lines}  </varray>\n'


def _matrix(rows: object) -> list[str]:
    return ["   " + " ".join(f"{x:.12E}" for x in row) for row in np.asarray(rows).tolist()]


@pytest.fixture
def run() -> FakeRun:
    """Four steps of a water molecule in a skewed cell that grows (NPT)."""
    generator = np.random.default_rng(7)
    steps = []
    for number in range(4):
        cell = np.round((1.0 + 0.01 * number) * np.array([[6.0, 0, 0], [1.0, 7.0, 0], [-0.5, 0.25, 8.0]]), 6)
        positions = np.array([[1.0, 2.0, 3.0], [1.7, 2.5, 3.25], [0.25, 2.5, -1.5]])
        energy = -14.2 - 0.1 * number
        steps.append(
            FakeStep(
                cell=cell,
                positions=np.round(positions + 0.1 * generator.normal(size=(3, 3)), 5),
                energy=energy,
                sigma0=energy + 0.025,
                forces=np.round(generator.normal(size=(3, 3)), 6),
                kilobar=tuple(np.round(10.0 * generator.normal(size=6), 5)),
            )
        )
    return FakeRun(tuple(steps))
