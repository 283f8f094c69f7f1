"""Which structures mode 1 keeps, which set they go to, and what it warns about."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.log import Log
from bnnp.modes.symmetry.selection import (
    Selection,
    Survey,
    select,
    selection_lines,
    selection_warnings,
    survey_all,
)
from bnnp.settings.settings import Settings, load_settings
from bnnp.structure import Set, Structure

BOHR = 0.529177210903  # Angstrom, CODATA 2018
BASE = """
nn_type_short 1
use_short_nn
use_short_forces
number_of_elements 1
elements Si
cutoff_type 1
symfunction_short Si 2 Si 0.01 0.0 8.0
"""


def dimer(
    distance: float = 4.0, energy: float = -8.0, force: float = 0.1, subset: Set | None = None
) -> Structure:
    """Si2, bonded at about 4.4 bohr."""
    return Structure(
        numbers=np.array([14, 14]),
        positions=np.array([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]]),
        energy=energy,
        forces=np.array([[force, 0.0, 0.0], [-force, 0.0, 0.0]]),
        subset=subset,
    )


def look(folder: Path, structures: list[Structure], extra: str, base: str) -> tuple[Survey, Settings]:
    """Survey of `structures` with some keywords more."""
    (folder / "input.nn").write_text(base + extra)
    write_structures(folder / "input.data", structures)
    settings = load_settings(folder / "input.nn", 1)
    file = StructureFile(folder / "input.data", settings.model.elements)
    return survey_all(file, settings, Log(enabled=False)), settings


def choose(
    folder: Path, structures: list[Structure], extra: str = "", base: str = BASE
) -> tuple[Selection, list[str]]:
    """Selection and warnings."""
    found, settings = look(folder, structures, extra, base)
    selection = select(found, settings)
    return selection, selection_warnings(found, selection, settings)


def test_thresholds_drop_for_the_first_reason(tmp_path: Path) -> None:
    """RuNNer: too short below bond_threshold; E >= N threshold; |F| > threshold, component by component."""
    structures = [dimer() for _ in range(12)]
    structures[1] = dimer(distance=0.4, energy=5.0)
    structures[2] = dimer(energy=-6.0)  # exactly N times the threshold
    structures[3] = dimer(energy=-6.0001)
    structures[4] = dimer(force=0.5)  # exactly the threshold is kept
    structures[5] = dimer(force=0.5001)
    extra = "bond_threshold 0.5\nenergy_threshold -3.0\nforce_threshold 0.5\ntest_fraction 0\n"
    selection, _ = choose(tmp_path, structures, extra)
    assert selection.n_dropped == {"too short bond": 1, "high E": 1, "high F": 1}
    assert [index for index in range(12) if index not in selection.kept] == [1, 2, 5]
    lines = [" ".join(line.split()) for line in selection_lines(selection)]
    assert lines[0] == "1 Point is used for training 1"
    assert lines[1] == "2 Point is rejected (too short bond) 1"
    assert lines[2] == "3 Point is rejected (high E) 1"
    assert lines[3] == "4 Point is used for training 2"
    assert lines[5] == "6 Point is rejected (high F) 1"


def test_energy_threshold_acts_on_what_is_left_without_free_atoms(tmp_path: Path) -> None:
    structures = [dimer(energy=-20.0 - 0.1 * (index < 11)) for index in range(12)]
    extra = "atom_energy Si -10.0\nremove_atom_energies\nenergy_threshold 0.0\ntest_fraction 0\n"
    selection, _ = choose(tmp_path, structures, extra)
    assert selection.n_dropped["high E"] == 1  # -20.0 + 2 * 10.0 = 0


def test_random_division_has_the_asked_fraction(tmp_path: Path) -> None:
    """Binomial: 400 structures at 0.25 give 100 +- 8.7; five standard deviations."""
    selection, _ = choose(tmp_path, [dimer() for _ in range(400)], "test_fraction 0.25\n")
    assert abs(selection.n_test - 100) < 5 * math.sqrt(400 * 0.25 * 0.75)


def test_division_of_a_structure_does_not_depend_on_others(tmp_path: Path) -> None:
    """Appending structures, or dropping one, leaves all others where they were; another seed does not."""
    many = grouped({"all": 40})
    base, _ = choose(tmp_path, many, "test_fraction 0.5\n")
    longer, _ = choose(tmp_path, many * 2, "test_fraction 0.5\n")
    np.testing.assert_array_equal(longer.subset[:40], base.subset)
    many[7] = dimer(distance=0.1)
    fewer, _ = choose(tmp_path, many, "test_fraction 0.5\n")
    np.testing.assert_array_equal(fewer.subset, np.delete(base.subset, 7))
    other, _ = choose(tmp_path, many, "test_fraction 0.5\nrandom_seed 5\n")
    assert (other.subset != fewer.subset).any()


def test_pinned_structures_win(tmp_path: Path) -> None:
    structures = [dimer(subset=Set.TEST), *[dimer() for _ in range(20)]]
    selection, _ = choose(tmp_path, structures, "test_fraction 0\n")
    assert selection.subset.tolist() == [1] + [0] * 20
    structures = [dimer(subset=Set.TRAIN), *[dimer() for _ in range(20)]]
    selection, _ = choose(tmp_path, structures, "test_fraction 0.999999\n")
    assert selection.subset.tolist() == [0] + [1] * 20


@pytest.mark.parametrize(
    ("structures", "extra", "text"),
    [
        (
            [dimer(0.3)] * 3,
            "",
            r"all structures \(3\) are dropped \(3 too short bond.*atoms \d and \d are 0.3 bohr",
        ),
        (
            [dimer()] * 9 + [dimer(energy=9.0)] * 10,
            "energy_threshold 0\n",
            "drop 10 of 19 .* leave 9, expected",
        ),
        ([dimer(subset=Set.TEST)] * 4, "", "of 4 structures none is in the training set"),
    ],
    ids=["nothing left", "few left", "no training"],
)
def test_too_little_is_left(tmp_path: Path, structures: list[Structure], extra: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        choose(tmp_path, structures, extra)


def warned(warnings: list[str], text: str) -> bool:
    return any(text in warning for warning in warnings)


def test_clean_data_gives_no_warning(tmp_path: Path) -> None:
    structures = [dimer(4.4), dimer(4.4, subset=Set.TEST)] * 10
    assert choose(tmp_path, structures, "test_fraction 0\n")[1] == []


def test_empty_test_set(tmp_path: Path) -> None:
    assert warned(choose(tmp_path, [dimer()] * 5, "test_fraction 0\n")[1], "the test set is empty")


def test_net_force(tmp_path: Path) -> None:
    """RuNNer's line; structures without a net force are not named."""
    pushed = Structure(
        numbers=np.array([14, 14]),
        positions=dimer().positions.copy(),
        energy=-8.0,
        forces=np.array([[0.003, 0.0, 0.0], [0.0, 0.004, 0.0]]),
    )
    structures = [dimer(), pushed]
    warnings = choose(tmp_path, structures, "test_fraction 0\n")[1]
    lines = [line for line in warnings if line.startswith("net force vector is large for structure")]
    assert [line.split()[7:9] for line in lines] == [["2", "0.00500000"]]
    assert not warned(choose(tmp_path, structures, "check_input_forces 0.006\n")[1], "net force")


def test_forces_that_are_all_zero(tmp_path: Path) -> None:
    zeros, silent = [dimer(force=0.0)] * 3, BASE.replace("use_short_forces\n", "")
    assert warned(choose(tmp_path, zeros)[1], "every force in input.data is zero")
    assert not warned(choose(tmp_path, zeros, base=silent)[1], "every force")


def test_forces_that_are_there_and_not_trained(tmp_path: Path) -> None:
    silent = BASE.replace("use_short_forces\n", "")
    off = BASE.replace("use_short_forces\n", "use_short_forces .false.\n")
    assert warned(choose(tmp_path, [dimer()] * 3, base=off)[1], "has forces, and they are not trained")
    assert not warned(choose(tmp_path, [dimer(force=0.0)] * 3, base=off)[1], "forces")
    assert not warned(choose(tmp_path, [dimer()] * 3, base=silent)[1], "forces")


@pytest.mark.parametrize(
    ("units", "distance", "advice"),
    [
        ("atomic", 4.4, None),
        ("atomic", 4.4 * BOHR, "looks like Angstrom"),
        ("metal", 4.4 * BOHR, None),
        ("metal", 4.4, "looks like bohr"),
    ],
)
def test_unit_of_length(tmp_path: Path, units: str, distance: float, advice: str | None) -> None:
    """Si-Si bonds of 2.33 Angstrom (4.4 bohr; radii 1.11 + 1.11 Angstrom) in the right and the wrong unit."""
    warnings = choose(tmp_path, [dimer(distance)] * 3, f"units {units}\ncheck_units .false.\n")[1]
    if advice is None:
        assert not warned(warnings, "covalent")
    else:
        assert warned(warnings, advice)


def test_forces_with_the_wrong_sign(tmp_path: Path) -> None:
    """A spring of 0.2 hartree/bohr^2 and 4.4 bohr; dE/dr in place of -dE/dr."""
    stretches = 0.3 * np.sin(0.3 * np.arange(30) + 0.15)
    vibrating = [dimer(4.4 + x, -8.0 + 0.1 * x**2, 0.2 * x) for x in stretches]
    assert choose(tmp_path, vibrating, "test_fraction 0.2\n")[1] == []
    wrong = [replace(one, forces=-np.array(one.forces)) for one in vibrating]
    (warning,) = choose(tmp_path, wrong, "test_fraction 0.2\n")[1]
    assert "from structure 1 (input.data line 1) to structure 30 (input.data line 175): " in warning
    assert "the forces with the other sign would fit" in warning


def test_sizes_that_no_calculation_gives(tmp_path: Path) -> None:
    """One energy of twelve is wrong by 6e7 hartree/atom, one stress is in bar (1 TPa is 0.034 Ha/bohr^3)."""
    structures = [dimer(4.4, energy=-8.0 + 0.001 * number) for number in range(12)]
    structures[4] = dimer(4.4, energy=1.2e8)
    stress = np.array([1e4, 2e4, -1e4, 0.0, 0.0, 0.0])
    structures[7] = replace(structures[7], cell=40.0 * np.eye(3), stress=stress)
    warnings = choose(tmp_path, structures, "test_fraction 0\n")[1]
    assert warned(
        warnings, "1 structure has an energy far from the others of their composition: structure 5 "
    )
    assert warned(warnings, "2 GPa if the numbers are in bar")


def test_missing_element_is_named(tmp_path: Path) -> None:
    base = BASE.replace("number_of_elements 1\nelements Si", "number_of_elements 2\nelements Si Ge")
    warnings = choose(tmp_path, [dimer()] * 3, "symfunction_short Ge 2 Si 0.01 0.0 8.0\n", base)[1]
    assert warned(warnings, "contains Ge, which `elements` lists")


def grouped(counts: dict[str, int]) -> list[Structure]:
    """Structures of some groups, one group after the other, none near the one before."""
    names = [name for name, count in counts.items() for _ in range(count)]
    return [replace(moved(dimer(), 10.0 * (k % 7)), info={"group": name}) for k, name in enumerate(names)]


def moved(structure: Structure, shift: float) -> Structure:
    """The same further along x, bohr."""
    return replace(structure, positions=structure.positions + [shift, 0.0, 0.0])


def trajectory(count: int, group: str, step: float = 0.1, start: float = 0.0) -> list[Structure]:
    """Frames of a dimer that flies along x, `step` bohr a frame."""
    return [
        replace(moved(dimer(), start + step * k), info={"group": group} if group else {})
        for k in range(count)
    ]


class TestCalibrationSet:
    def test_the_same_share_of_each_group(self, tmp_path: Path) -> None:
        counts = {"cold": 40, "hot": 20, "few": 4}
        extra = "test_fraction 0\ncalibration_fraction 0.25\n"
        selection, _ = choose(tmp_path, grouped(counts), extra)
        assert np.bincount(selection.subset).tolist() == [48, 0, 16]
        assert np.bincount(selection.subset[:40], minlength=3)[2] == 10
        assert np.bincount(selection.subset[40:60], minlength=3)[2] == 5
        chosen = np.flatnonzero(selection.subset[:40] == 2)
        assert np.diff(chosen).max() > 1  # drawn, not a block
        other, _ = choose(tmp_path, grouped(counts), extra + "random_seed 5\n")
        assert not np.array_equal(other.subset, selection.subset)

    def test_blocks_are_contiguous_in_each_group(self, tmp_path: Path) -> None:
        extra = "test_fraction 0\ncalibration_fraction 0.25\ncalibration_split blocks\n"
        selection, _ = choose(tmp_path, grouped({"cold": 40, "hot": 20}), extra)
        for group, count in ((selection.subset[:40], 10), (selection.subset[40:], 5)):
            chosen = np.flatnonzero(group == 2)
            assert len(chosen) == count
            np.testing.assert_array_equal(np.diff(chosen), 1)

    def test_the_test_set_stays_as_it_is_without(self, tmp_path: Path) -> None:
        structures = grouped({"cold": 100})
        without, _ = choose(tmp_path, structures, "test_fraction 0.3\ncalibration_fraction 0\n")
        within, _ = choose(tmp_path, structures, "test_fraction 0.3\ncalibration_fraction 0.5\n")
        np.testing.assert_array_equal(within.subset == 1, without.subset == 1)
        assert within.n_calibration == round(0.5 * without.n_training)
        assert within.n_training + within.n_calibration == without.n_training

    def test_what_the_file_pins_wins(self, tmp_path: Path) -> None:
        structures = grouped({"cold": 30, "hot": 10})
        structures[35] = replace(structures[35], subset=Set.TRAIN)
        structures[3] = replace(structures[3], subset=Set.CALIBRATION)
        structures[4] = replace(structures[4], subset=Set.OUTSIDE)
        extra = "test_fraction 0\ncalibration_ood_group hot\n"
        selection, _ = choose(tmp_path, structures, extra)
        expected = np.repeat([0, 3], [30, 10])
        expected[[35, 3, 4]] = [0, 2, 3]
        np.testing.assert_array_equal(selection.subset, expected)
        lines = list(selection_lines(selection))
        assert "Point is used for calibration" in lines[3]

    def test_no_such_group(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="line 10: no structure .* `group=warm` .* there are cold, hot"):
            choose(tmp_path, grouped({"cold": 12, "hot": 3}), "test_fraction 0\ncalibration_ood_group warm\n")

    def test_the_calibration_takes_everything(self, tmp_path: Path) -> None:
        with pytest.raises(
            InputError, match=r"0 are for testing, 20 for the calibration \(.*_ood_group cold\)"
        ):
            choose(tmp_path, grouped({"cold": 20}), "test_fraction 0\ncalibration_ood_group cold\n")


class TestConsecutiveFrames:
    """Sets of trajectories are blocks of frames, so that no frame is judged by its neighbor in training."""

    @pytest.mark.parametrize("group", ["aimd", ""])
    def test_one_long_trajectory_gives_one_block_for_each_set(self, tmp_path: Path, group: str) -> None:
        selection, _ = choose(tmp_path, trajectory(400, group), "test_fraction 0.1\n")
        assert np.bincount(selection.subset).tolist() == [288, 40, 72]  # 0.1 of 400, 0.2 of 360
        assert selection.n_frames == (400, 1)
        tests = np.flatnonzero(selection.subset == Set.TEST)
        np.testing.assert_array_equal(np.diff(tests), 1)
        calibration = np.flatnonzero(selection.subset == Set.CALIBRATION)
        blocks = np.split(calibration, np.flatnonzero(np.diff(calibration) > 1) + 1)
        assert min(map(len, blocks)) >= 5  # at least two, if the test block cuts the trajectory

    def test_every_group_gives_its_share(self, tmp_path: Path) -> None:
        structures = [*trajectory(200, "300K"), *trajectory(100, "600K", start=3.0)]
        selection, _ = choose(tmp_path, structures, "test_fraction 0.2\n")
        for part, count in ((selection.subset[:200], 40), (selection.subset[200:], 20)):
            tests = np.flatnonzero(part == Set.TEST)
            assert len(tests) == count
            np.testing.assert_array_equal(np.diff(tests), 1)

    def test_short_trajectories_are_taken_or_left_whole(self, tmp_path: Path) -> None:
        structures = [s for k in range(60) for s in trajectory(4, "bulk", start=50.0 * k)]
        selection, _ = choose(tmp_path, structures, "test_fraction 0.2\n")
        sets = selection.subset.reshape(60, 4)
        assert (sets == sets[:, :1]).all()
        assert selection.n_frames == (240, 60)
        assert abs(selection.n_test - 48) <= 2  # half a trajectory

    def test_frames_that_are_far_apart_are_drawn_one_by_one(self, tmp_path: Path) -> None:
        """2.83 bohr of a bond of 4: more than half."""
        selection, _ = choose(tmp_path, trajectory(200, "md", step=2.83), "test_fraction 0.2\n")
        assert selection.n_frames == (0, 0)
        assert np.diff(np.flatnonzero(selection.subset == Set.TEST)).max() > 1

    def test_frames_are_recognized_across_the_boundary_of_the_cell(self, tmp_path: Path) -> None:
        cell = 9.0 * np.eye(3)
        frames = [replace(s, positions=s.positions % 9.0, cell=cell) for s in trajectory(120, "md", step=0.3)]
        assert choose(tmp_path, frames, "test_fraction 0.1\n")[0].n_frames == (120, 1)

    def test_pinned_structures_stay(self, tmp_path: Path) -> None:
        frames = trajectory(300, "md")
        frames[::7] = [replace(s, subset=Set.TRAIN) for s in frames[::7]]
        selection, _ = choose(tmp_path, frames, "test_fraction 0.1\n")
        assert not selection.subset[::7].any()


class TestDefaultCalibration:
    """A fifth of the training set, where that is 10 structures."""

    @pytest.mark.parametrize(("count", "kept"), [(47, 0), (48, 10), (300, 60)])
    def test_where_the_data_allow(self, tmp_path: Path, count: int, kept: int) -> None:
        selection, warnings = choose(tmp_path, grouped({"all": count}), "test_fraction 0\n")
        assert selection.n_calibration == kept
        assert not any("calibration" in each for each in warnings)

    @pytest.mark.parametrize("line", ["dropout_rate 0", "kalman_lambda_short 0.98", "calibration_fraction 0"])
    def test_not_without_standard_deviations_or_where_it_is_switched_off(
        self, tmp_path: Path, line: str
    ) -> None:
        selection, _ = choose(tmp_path, grouped({"all": 200}), f"test_fraction 0\n{line}\n")
        assert selection.n_calibration == 0

    def test_for_an_ensemble(self, tmp_path: Path) -> None:
        extra = "test_fraction 0\ndropout_rate 0\nensemble_size 2\n"
        assert choose(tmp_path, grouped({"all": 200}), extra)[0].n_calibration == 40

    def test_not_beside_one_that_the_file_assigns(self, tmp_path: Path) -> None:
        structures = grouped({"all": 200})
        structures[:35] = [replace(s, subset=Set.CALIBRATION) for s in structures[:35]]
        assert choose(tmp_path, structures, "test_fraction 0\n")[0].n_calibration == 35


class TestCalibrationWarnings:
    """What mode 2 would find out after hours, said by mode 1."""

    def test_enough(self, tmp_path: Path) -> None:
        extra = "calibration_fraction 0.5\nuncertainty hybrid\ntest_fraction 0.1\nrandom_seed 1\n"
        _, warnings = choose(tmp_path, grouped({"cold": 100}), extra)
        assert not any("calibration" in each for each in warnings)

    def test_too_few(self, tmp_path: Path) -> None:
        _, warnings = choose(tmp_path, grouped({"cold": 100}), "test_fraction 0\ncalibration_fraction 0.09\n")
        assert any(
            each.startswith("9 structures are kept for the calibration, expected") for each in warnings
        )

    def test_all_are_pinned(self, tmp_path: Path) -> None:
        pinned = [replace(s, subset=Set.TRAIN) for s in grouped({"cold": 60, "hot": 40})]
        extra = "calibration_fraction 0.4\ncalibration_ood_group hot\n"
        selection, warnings = choose(tmp_path, pinned, extra)
        assert selection.n_calibration == 0
        text = " ".join(warnings)
        assert "0 structures are kept for the calibration (input.data pins all structures to sets" in text
        assert "calibration_ood_group takes no structure (input.data pins all" in text
        assert "aise calibration_fraction" not in text  # it takes only structures that are not pinned
        assert "UNCALIBRATED. Write `begin set=calibration` for some structures" in text

    def test_out_of_the_domain_alone(self, tmp_path: Path) -> None:
        _, warnings = choose(
            tmp_path, grouped({"cold": 40, "hot": 40}), "test_fraction 0\ncalibration_ood_group hot\n"
        )
        assert any(each.startswith("0 structures are kept for the calibration") for each in warnings)


def test_groups_of_different_calculations_are_named(tmp_path: Path) -> None:
    """All ranks see the methods of all structures; a structure that tells none is not compared."""
    methods = {"bulk": "xc:PBE,encut:520", "melt": "xc:PBE,encut:400", "old": ""}
    structures = [
        replace(dimer(), info={"group": group} | ({"method": method} if method else {}))
        for group, method in methods.items()
        for _ in range(10)
    ]
    found, _ = look(tmp_path, structures, "", BASE)
    warnings = [text for text in choose(tmp_path, structures)[1] if "belong together" in text]
    assert len(warnings) == 1
    assert "ENCUT (eV): 520 in group bulk; 400 in group melt" in warnings[0]
    assert found.methods == {"xc:PBE,encut:520": {"bulk"}, "xc:PBE,encut:400": {"melt"}, "": {"old"}}


def test_lengths_in_the_other_unit_stop_the_run(tmp_path: Path) -> None:
    """Si2 at 2.4 Angstrom, read as bohr: 0.57 of the covalent distance."""
    structures = [dimer(distance=2.4) for _ in range(20)]
    with pytest.raises(InputError, match="input.data: this looks like Angstrom.*`check_units .false.`"):
        choose(tmp_path, structures)
    _, warnings = choose(tmp_path, structures, "check_units .false.\n")
    assert any(warning.startswith("this looks like Angstrom") for warning in warnings)


def test_hybrid_without_enough_structures_is_foreseen(tmp_path: Path) -> None:
    """40 for training: a fifth is 8, 10 / 0.2 = 50 would do, and so would 10 / 40 = 0.25 of them."""
    hybrid = "test_fraction 0\nuncertainty hybrid\n"
    structures = [dimer(4.0 + 0.01 * k, -8.0) for k in range(40)]
    with pytest.raises(InputError) as raised:
        choose(tmp_path, structures, hybrid)
    text = str(raised.value)
    assert "needs a calibration with at least 10 structures" in text
    assert "of 40 for training, calibration_fraction 0.2 keeps 8" in text
    for way in ("`uncertainty mc`", "about 50 for training", "(to 0.25)", "`calibrate`"):
        assert way in text
    selection, _ = choose(tmp_path, structures, f"{hybrid}calibration_fraction 0.25\n")
    assert np.count_nonzero(selection.subset == Set.CALIBRATION) == 10
    for words in ("calibrate\n", "dropout_rate 0.0\n"):  # calibrated elsewhere, or without any sigma
        choose(tmp_path, structures, hybrid + words)
    choose(tmp_path, structures, "test_fraction 0\nuncertainty mc\n")


def test_hybrid_where_all_structures_are_pinned(tmp_path: Path) -> None:
    """A larger fraction would not help, so it is not named."""
    structures = [dimer(subset=Set.TRAIN) for _ in range(90)]
    with pytest.raises(InputError, match="pins 0 of 90 .*pin at least 10") as raised:
        choose(tmp_path, structures, "uncertainty hybrid\n")
    assert "calibration_fraction" not in str(raised.value)


def test_units_are_guessed_once(tmp_path: Path) -> None:
    """5 hartree/bohr are 257 eV/Angstrom, above any force; not if the unit is doubted."""
    forces = np.array([[0.0, 0.0, 5.0], [0.0, 0.0, -5.0]])
    for distance, doubted in ((4.4, True), (2.4, False)):
        structures = [replace(dimer(distance), forces=forces)] * 20
        warnings = choose(tmp_path, structures, "check_units .false.\n")[1]
        assert any("too large for a calculation" in text for text in warnings) == doubted
        assert any("this looks like Angstrom" in text for text in warnings) != doubted
