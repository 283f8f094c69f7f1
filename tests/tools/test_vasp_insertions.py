"""Pieces of a VASP file inserted into another: a label is the right one of its step, or there is none.

Steps are compared whole: elements, cell, positions, energies, forces, stress, and whether they converged.
Where the numbers go back behind a piece, the steps between are left out, so that a splice in the middle of a
table shows, too. What cannot be told is a row of a cell or a number that is torn within its digits so that
it stays a number; and in vasprun.xml, whose iterations have no numbers, those of another step in the middle
of the electronic loop: a step may be left out for them as unconverged.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vasp.compressed import open_stream
from vasp.ml_ab import read_ml_ab
from vasp.outcar import LOST_ITERATION, TWICE, read_outcar
from vasp.step import MISSING, TORN, UNCONVERGED, UNREADABLE, Step, UnreadableStep
from vasp.step import TWICE as STANDS_TWICE
from vasp.vasprun import INSERTED, NESTED, read_vasprun

from bnnp.errors import InputError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "vasp"
SIZES = (1.0, 4.5)  # powers of ten, bytes of a piece
LARGEST = 600_000  # bytes
EDIFF = '   <i name="EDIFF">      0.00010000</i>\n'


def steps(text: bytes) -> Iterator[tuple[str | None, Step]]:
    """Flaw and step of what can be used of a file; the reader gives up where the head is torn."""
    reader = read_vasprun if is_xml(text) else read_outcar
    try:
        for draft in reader(io.BytesIO(text)):
            if draft.flaw is None or draft.flaw == UNCONVERGED:
                try:
                    yield draft.flaw, draft.read()
                except UnreadableStep:
                    continue
    except InputError:
        return


def is_xml(text: bytes) -> bool:
    """Whether a text is a vasprun.xml."""
    return text.startswith(b"<?xml")


def labels(flaw: str | None, step: Step) -> tuple[object, ...]:
    """What every step must have, to be compared bit for bit."""
    arrays = (step.cell, step.positions, step.forces)
    return (flaw, *step.symbols, step.free_energy, *(array.tobytes() for array in arrays))


def others(step: Step) -> tuple[object, object]:
    """What is None where it cannot be read: the energy without smearing, and the stress."""
    return step.sigma0_energy, None if step.stress is None else step.stress.tobytes()


def insert(text: bytes, source: bytes, draw: random.Random, anywhere: float) -> bytes:
    """The text with one to four pieces of another, by lines or, with that chance, anywhere."""
    by_lines = draw.random() >= anywhere
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(text))
        start = draw.randrange(len(source))
        piece = source[start : start + int(10 ** draw.uniform(*SIZES))]
        if by_lines:
            place = text.rfind(b"\n", 0, place) + 1
            piece = piece[piece.find(b"\n") + 1 : piece.rfind(b"\n") + 1]
        text = text[:place] + piece + text[place:]
    return text


def wrong_steps(
    text: bytes, trials: int, seed: int, anywhere: float = 0.0, source: bytes = b""
) -> tuple[int, int]:
    """Number of steps read of the damaged files, and of those that no undamaged file has."""
    draw, read, wrong = random.Random(seed), 0, 0
    right: dict[tuple[object, ...], set[tuple[object, object]]] = {}
    for flaw, step in (*steps(text), *steps(source)):
        sigma0, stress = others(step)
        for reason in {flaw, UNCONVERGED} if is_xml(text) else {flaw}:
            right.setdefault(labels(reason, step), set()).update(
                (one, other) for one in (None, sigma0) for other in (None, stress)
            )
    for _ in range(trials):
        for flaw, step in steps(insert(text, source or text, draw, anywhere)):
            read += 1
            wrong += others(step) not in right.get(labels(flaw, step), ())
    return read, wrong


def made_up(run: Any, kind: str = "outcar") -> list[bytes]:
    """Three runs of the same atoms that differ in all their labels; vasprun.xml has EDIFF, as VASP has."""
    generator = np.random.default_rng(3)
    texts = []
    for number in range(3):
        others = tuple(
            replace(
                step,
                energy=step.energy - number,
                sigma0=step.sigma0 - number,
                forces=step.forces + number,
                kilobar=tuple(np.round(10.0 * generator.normal(size=6), 5)),
            )
            for step in run.steps
        )
        text = getattr(replace(run, steps=others), kind)()
        texts.append(text.replace("<parameters>\n", f"<parameters>\n{EDIFF}").encode())
    return texts


SEEDS = [
    (0, 0.0),
    (100, 0.0),
    (123, 0.0),
    (319, 0.0),
    (3030, 0.0),
    (426, 0.0),
    (136, 0.5),
    (137, 0.5),
    (139, 0.5),
]  # some failed once


@pytest.mark.parametrize("kind", ["outcar", "vasprun"])
@pytest.mark.parametrize(("seed", "anywhere"), SEEDS)
def test_made_up(run: Any, seed: int, anywhere: float, kind: str) -> None:
    run = run.change(seed % 4, iterations=8)  # one is unconverged
    if seed % 2:  # so that the cell does not tell steps apart
        run = replace(run, steps=tuple(replace(step, cell=run.steps[0].cell) for step in run.steps))
    read, wrong = wrong_steps(made_up(run, kind)[0], 150, seed, anywhere)
    assert read > 40
    assert wrong == 0


@pytest.mark.parametrize("kind", ["outcar", "vasprun"])
@pytest.mark.parametrize("seed", [101, 107, 109])
def test_pieces_of_another_run(run: Any, seed: int, kind: str) -> None:
    own, other, _ = made_up(run, kind)
    read, wrong = wrong_steps(own, 150, seed, 0.2, other)
    assert read > 40
    assert wrong == 0


def test_the_numbers_go_back(run: Any) -> None:
    """Forces of another run within a step, and the step's own behind the iterations of the next one."""
    own, other, _ = made_up(run)
    start = other.index(b"TOTAL-FORCE", other.index(b"Iteration      2("))
    piece = other[start : other.index(b"------------------------ aborting", start)]
    at = own.index(b"TOTAL-FORCE", own.index(b"Iteration      2("))
    found = [step.free_energy for _, step in steps(own[:at] + piece + own[at:])]
    assert found == [run.steps[0].energy, run.steps[3].energy]


def test_behind_the_end(run: Any) -> None:
    """The rest of a step behind the end of the file: of which step it is cannot be told."""
    own, other, _ = made_up(run)
    at, start = (text.index(b"TOTAL-FORCE", text.index(b"Iteration      3(")) for text in (own, other))
    assert not list(steps(own[:at] + other[start:] + own[at : own.index(b"     LOOP+", at)]))


def test_a_setting_that_is_torn(run: Any) -> None:
    """NELM, with the end of a row of numbers in it."""
    own, _, _ = made_up(run, "vasprun")
    torn = own.replace(b'"NELM">     8</i>', b'"NELM"> 34354000 </v>\n   <v>  0.25134544 </v    8</i>', 1)
    assert torn != own
    (flaw,) = {draft.flaw for draft in read_vasprun(io.BytesIO(torn))}
    assert "the head of the file is damaged: it has no NELM" in flaw


def test_the_first_iterations_of_another_step(run: Any) -> None:
    """In the only step of a file, so that no other one tells that Ewald energies are equal."""
    own, _, _ = made_up(replace(run, steps=run.steps[:1]), "vasprun")
    first, *_ = re.findall(rb'<i name="ewald">[^<]*</i>', own)
    assert len(list(steps(own))) == 1
    assert not list(steps(own.replace(first, b'<i name="ewald">   -6000.00000000 </i>', 1)))


def test_an_energy_of_another_run(run: Any) -> None:
    """One line behind the three of the last iteration, of the extrapolation to no smearing only."""
    own, other, _ = made_up(run, "vasprun")
    line = b'<i name="e_0_energy">     -15.17500000 </i>\n'
    assert line in other
    at = own.index(b"</energy>", own.index(b"ewald", own.index(b"ewald") + 1))
    found = [step.free_energy for _, step in steps(own[:at] + line + own[at:])]
    assert found == pytest.approx([step.energy for step in run.steps[1:]])


def test_an_energy_torn_within_its_line(run: Any) -> None:
    """From the middle of the line with both energies on, the same line of another step."""
    own, _, _ = made_up(replace(run, steps=run.steps[:1]))
    at = own.index(b" energy(sigma->0)", own.index(b"free  energy"))
    torn = own[:at] + b" -99.10000000  energy(sigma->0) =     -99.17500000\n" + own[own.index(b"\n", at) :]
    assert [step.sigma0_energy for _, step in steps(torn)] == [None]


def test_an_energy_in_the_marker_of_another_one(run: Any) -> None:
    """Which is lost by that; what is left of it stands between the heading and the energy inserted."""
    own, other, _ = made_up(run)
    at, start = (text.index(b"free  energy", text.index(b"Iteration      2(")) for text in (own, other))
    piece = b"\n" + other[start : other.index(b"energy  without", start)]
    found = [step.free_energy for _, step in steps(own[: at + 13] + piece + own[at + 13 :])]
    assert found == pytest.approx([run.steps[k].energy for k in (0, 2, 3)])


@pytest.mark.parametrize("name", ["NELM", "ISIF", "NWRITE"])
def test_a_setting_stated_twice(run: Any, name: str) -> None:
    """A line of another head: which of the two holds cannot be told."""
    text = run.change(1, iterations=8).outcar()
    line = next(line for line in text.split("\n") if line.startswith(f"   {name} "))
    for other, kept in ((line, 4), (line.replace("8;", "60;").replace("     2 ", "     0 "), 0)):
        damaged = text.replace(line, f"{line}\n{other}", 1)
        assert len(list(steps(damaged.encode()))) == kept
        if not kept:
            (flaw,) = {draft.flaw for draft in read_outcar(io.BytesIO(damaged.encode()))}
            assert f"the head states {name} twice" in flaw


def test_no_nelm(run: Any) -> None:
    text = run.outcar().replace("   NELM   =", "   NE  M  =")
    (flaw,) = {draft.flaw for draft in read_outcar(io.BytesIO(text.encode()))}
    assert "the head has no NELM" in flaw


@pytest.mark.parametrize(
    ("end", "flaw"),
    [
        ("aborting loop because hard stop was set ----", UNCONVERGED),
        ("aborting loop EDIFF was not reached (unconverged) ----", UNCONVERGED),
        ("aborting loop because EDI", TORN),
        (
            "aborting loop because EDIFF is reached\n -- aborting loop because EDIFF is reached --",
            TWICE,
        ),
    ],
)
def test_end_of_the_electronic_loop(run: Any, end: str, flaw: str) -> None:
    text = re.sub(r"aborting loop because EDIFF is reached -*", end, run.outcar(), count=1)
    assert [draft.flaw for draft in read_outcar(io.BytesIO(text.encode()))] == [flaw, None, None, None]


def test_two_runs_the_first_cut_off_anywhere(run: Any) -> None:
    """The head of the second stands in the last line of the first."""
    own, other, _ = made_up(run)
    text = own[: own.index(b"TOTEN", own.index(b"Iteration      4(")) - 3] + other
    assert len(list(steps(text))) == 3 + 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted([*REAL.glob("*OUTCAR*"), *REAL.glob("*xml*")]), ids=lambda path: path.name
)
def test_real(path: Path) -> None:
    with open_stream(path) as stream:
        text = stream.read(LARGEST)
    if not list(steps(text)):
        pytest.skip("no step to be read")
    read, wrong = wrong_steps(text, 40, 5, anywhere=0.4)
    assert read > 0
    assert wrong == 0


@pytest.mark.parametrize("line", ["Iteratioc      2(   8)  ---", ""])
def test_an_iteration_that_is_lost(run: Any, line: str) -> None:
    """The eighth of NELM = 8: without it the step would have converged."""
    text = run.change(1, iterations=8).outcar().replace("Iteration      2(   8)  ---", line)
    assert flaws(read_outcar, text) == [None, LOST_ITERATION, None, None]


def test_the_stress_of_another_step(run: Any) -> None:
    """A piece with `in kB` within the marker of the step's own line, which is lost by that."""
    own, other, _ = made_up(run)
    start = other.index(b"in kB")
    piece = other[start : other.index(b"volume of cell", start)]
    at = own.index(b"in kB", own.index(b"Iteration      2(")) + 4
    found = [step.free_energy for _, step in steps(own[:at] + piece + own[at:])]
    assert found == pytest.approx([run.steps[k].energy for k in (0, 2, 3)])


def flaws(reader: Any, text: str) -> list[str | None]:
    """What is wrong with each step of a text."""
    found = []
    for draft in reader(io.BytesIO(text.encode())):
        try:
            found.append(draft.flaw or draft.read() and None)
        except UnreadableStep as error:
            found.append(str(error))
    return found


class TestMlAb:
    def test_the_numbers_go_back(self, run: Any) -> None:
        """Positions of another file from configuration 2 on, and the own ones behind its configuration 3."""
        own = run.ml_ab()
        other = run.change(1, energy=0.0).change(2, energy=0.0).ml_ab()
        mark = "     Atomic positions"
        at = [own.index(mark, own.index(f"Configuration num. {number:6d}")) for number in (2, 3)]
        text = own[: at[0]] + other[at[0] : at[1]] + own[at[0] :]
        assert flaws(read_ml_ab, text) == [None, STANDS_TWICE, STANDS_TWICE, None, None]

    @pytest.mark.parametrize("title", ["Total energy (eV)", "XX YY ZZ", "Forces (eV ang.^-1)"])
    def test_rows_of_another_table(self, run: Any, title: str) -> None:
        """They stand where the first rows of a table are expected, with a line below them."""
        text = run.ml_ab()
        at = text.index("\n", text.index("\n", text.index(title, text.index("num.      2"))) + 1) + 1
        damaged = text[:at] + "   1.0 2.0 3.0\n" + "-" * 50 + "\n" + text[at:]
        assert flaws(read_ml_ab, damaged) == [None, TORN, None, None]

    def test_steps_share_no_list(self, run: Any) -> None:
        """Whoever changes the elements of one configuration leaves those of the next as they are."""
        first, second, *_ = [draft.read() for draft in read_ml_ab(io.BytesIO(run.ml_ab().encode()))]
        kept = list(second.symbols)
        first.symbols[0] = "X"
        assert second.symbols == kept

    def test_text_behind_the_number(self, run: Any) -> None:
        text = run.ml_ab().replace("num.      3\n", "num.      3\n   1.0 2.0 3.0\n")
        assert flaws(read_ml_ab, text) == [None, None, TORN, None]

    def test_two_files_in_one(self, run: Any) -> None:
        """The second has its own numbers and its own list of elements."""
        other = replace(run, species=(("Ti", 3),))
        assert flaws(read_ml_ab, run.ml_ab() + other.ml_ab()) == [None] * 8

    def test_configurations_of_two_files(self, run: Any) -> None:
        """Without the head of the second."""
        text = run.ml_ab()
        assert flaws(read_ml_ab, text + text[text.index("     Configuration num.") :]) == [None] * 8


class TestVasprun:
    @pytest.mark.parametrize(
        ("line", "inserted"),
        [
            ('  <varray name="forces" >\n', "   <v> 1.00000000 2.00000000 3.00000000 </v>\n  </varray>\n"),
            ('  <varray name="positions" >\n', "   </crystal>\n"),
            ('  <varray name="basis" >\n', '  <varray name="basis" >\n  </varray>\n'),
            ('  <varray name="stress" >\n', '  <varray name="stress" >\n  </varray>\n'),
            ("  <kpoints>\n", "   </energy>\n  </scstep>\n"),
        ],
    )
    def test_tags_of_another_step(self, run: Any, line: str, inserted: str) -> None:
        text = run.vasprun()
        at = text.index(line, text.index("<calculation>", text.index("<calculation>") + 1))
        assert flaws(read_vasprun, text[:at] + inserted + text[at:]) == [None, NESTED, None, None]

    @pytest.mark.parametrize("vdw", [False, True])
    def test_the_numbers_go_back(self, run: Any, vdw: bool) -> None:
        """Within the loop of step 2: text from its iteration 4 to the end of step 3."""
        text = replace(run.change(1, iterations=8), vdw=vdw).vasprun()
        begin = [match.start() for match in re.finditer("<calculation>", text)]
        loops = [
            match.end() for match in re.finditer("</scstep>\n", text[: begin[2]]) if match.end() > begin[1]
        ]
        piece = text[loops[3] : begin[3]]
        found = flaws(read_vasprun, text[: loops[1]] + piece + text[loops[1] :])
        assert found == [None, INSERTED, INSERTED, None, None]

    def test_parts_of_two_steps(self, run: Any) -> None:
        """Each from another place on that of step 3 stands in step 2; all tags are nested."""
        text = run.vasprun()
        two, three, four = (match.start() for match in list(re.finditer("<calculation>", text))[1:])
        for place in (
            "  <structure>",
            '  <varray name="forces"',
            '  <varray name="stress"',
            "  <energy>\n   <i",
        ):
            damaged = text[: text.index(place, two)] + text[text.index(place, three) :]
            assert flaws(read_vasprun, damaged) == [None, INSERTED, None], place
        loop = "  </scstep>\n"
        damaged = text[: text.index(loop, two)] + text[text.index(loop, three) :]
        assert flaws(read_vasprun, damaged) == [None, INSERTED, None]

    @pytest.mark.parametrize(
        ("ediff", "flaw"), [("0.00007", None), ("0.00006", UNCONVERGED), ("0.00000", None)]
    )
    def test_the_last_iterations_differ(self, run: Any, ediff: str, flaw: str | None) -> None:
        """By 0.5^14 eV = 0.000061 eV: one of NELM is lost, or the run was stopped."""
        text = run.vasprun().replace("<parameters>", f'<parameters>\n  <i name="EDIFF"> {ediff}</i>')
        assert flaws(read_vasprun, text) == [flaw] * 4

    def test_one_iteration(self, run: Any) -> None:
        """As where another step begins in the last iteration of this one: VASP makes two or more (NELMIN)."""
        assert flaws(read_vasprun, run.change(1, iterations=1).vasprun()) == [None, UNCONVERGED, None, None]
        assert flaws(read_vasprun, run.change(1, iterations=2).vasprun()) == [None] * 4

    def test_two_energies_in_one(self, run: Any) -> None:
        """In the only step of a file, in its last iteration and behind the loop."""
        text = replace(run, steps=run.steps[:1]).vasprun()
        lines = [f'    <i name="e_{name}_energy">     -15.40000000 </i>\n' for name in ("fr", "0")]
        begin = text.rindex("<energy>\n", 0, text.index("<structure>", text.index("<calculation>")))
        for at in (begin, text.index("  <energy>\n   <i", begin)):
            at = text.index("\n", at) + 1
            assert flaws(read_vasprun, text[:at] + "".join(lines) + text[at:]) == [INSERTED]

    def test_a_tag_of_an_energy_is_torn(self, run: Any) -> None:
        """The energy of the last iteration of the only step, and in it the first of another one."""
        text = replace(run, steps=run.steps[:1]).vasprun()
        at = text.rindex("_fr_energy", 0, text.index("<structure>", text.index("<calculation>")))
        lines = [f'{name}">     -15.40000000 </i>\n    <i name="e' for name in ("_fr_energy", "_wo_entrp")]
        assert flaws(read_vasprun, text[:at] + "".join(lines) + text[at + 3 :]) == [INSERTED]

    @pytest.mark.parametrize("number", [0, 1])
    def test_energies_that_do_not_fit_their_columns(self, run: Any, number: int) -> None:
        """They are left out for that, though the other steps have them; no other step is."""
        text = run.vasprun()
        energy = f'  <energy>\n   <i name="e_fr_energy"> {run.steps[number].energy:16.8f} '
        found = flaws(read_vasprun, text.replace(energy, energy[:-17] + "*" * 16 + " "))
        assert found == [UNREADABLE if k == number else None for k in range(4)]

    def test_more_iterations_than_nelm(self, run: Any) -> None:
        assert flaws(read_vasprun, run.change(1, iterations=9).vasprun()) == [None, INSERTED, None, None]

    @pytest.mark.parametrize("name", ["NELM", "ISIF", "PSTRESS"])
    def test_a_setting_stated_twice(self, run: Any, name: str) -> None:
        text = run.vasprun()
        line = next(line for line in text.split("\n") if f'name="{name}"' in line)
        assert flaws(read_vasprun, text.replace(line, f"{line}\n{line}", 1)) == [None] * 4
        other = re.sub(r"\d(?=[.\d]*<)", "7", line, count=1)
        (flaw,) = set(flaws(read_vasprun, text.replace(line, f"{line}\n{other}", 1)))
        assert f"it states {name} twice" in str(flaw)

    def test_a_head_without_nelm(self, run: Any) -> None:
        (flaw,) = set(flaws(read_vasprun, run.vasprun().replace('"NELM"', '"N"')))
        assert "it has no NELM" in str(flaw)

    def test_atoms_of_another_run(self, run: Any) -> None:
        """With steps of it, but not with its settings."""
        other = replace(run, species=(("Ti", 3),)).vasprun()
        text = run.vasprun()
        at, start = (text.index("<calculation>", text.index("</calculation>")), other.index(" <atominfo>"))
        found = flaws(read_vasprun, text[:at] + other[start : other.index("</modeling>")] + text[at:])
        assert found[0] is None
        assert all("without the settings of its run" in str(flaw) for flaw in found[1:])

    @pytest.mark.parametrize("rows", [2, 4])
    def test_a_cell_in_the_head(self, run: Any, rows: int) -> None:
        """One that is none: the k-point mesh of the method cannot be told, and that is all."""
        row = "    <v> 6.00000000 0.00000000 0.00000000 </v>\n"
        basis = f'  <varray name="basis" >\n{row * rows}  </varray>\n'
        mesh = '<kpoints><v name="divisions"> 2 2 2 </v></kpoints>\n <parameters>'
        text = (
            run.vasprun()
            .replace("<parameters>", mesh)
            .replace('"initialpos" >\n', f'"initialpos" >\n{basis}')
        )
        (draft, *_) = read_vasprun(io.BytesIO(text.encode()))
        assert "k:" not in draft.read().method

    def test_a_stress_that_is_missing(self, run: Any) -> None:
        """Forces of one step and the energy of another, joined between: the other steps have a stress."""
        text = run.vasprun()
        start = text.index('  <varray name="stress"', text.index('<varray name="stress"') + 20)
        damaged = text[:start] + text[text.index("  <energy>\n   <i", start) :]
        assert flaws(read_vasprun, damaged) == [None, MISSING, None, None]
        assert flaws(read_vasprun, replace(run, isif=0).vasprun()) == [None] * 4

    def test_a_cell_of_four_vectors(self, run: Any) -> None:
        row = "   <v>       6.06000000       0.00000000       0.00000000 </v>\n"
        text = run.vasprun()
        assert row in text
        assert flaws(read_vasprun, text.replace(row, row * 2, 1)) == [None, TORN, None, None]

    def test_a_stress_of_two_steps(self, run: Any) -> None:
        """The tensor is symmetric in each step, not where its rows are of two."""
        text = run.vasprun()
        first, second = (f"{run.steps[k].kilobar[1]:16.8f}" for k in (1, 2))
        rows = {value: next(row for row in text.split("\n") if value in row) for value in (first, second)}
        damaged = text.replace(rows[first], rows[second])
        assert flaws(read_vasprun, damaged) == [None, TORN, None, None]
