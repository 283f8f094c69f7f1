"""``bnnp --check``: settings with origin, data with counts and distances, warnings, estimates, no files."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import ase.units
import numpy as np
import pytest

from bnnp.analysis.data_set import DataSet
from bnnp.descriptors.length_unit import unit_advice
from bnnp.descriptors.scaling import Affine
from bnnp.descriptors.survey import survey
from bnnp.errors import InputError
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.log import Log
from bnnp.modes.check import costs
from bnnp.modes.check import run as check
from bnnp.modes.check.costs import estimate_symmetry, estimate_training
from bnnp.modes.check.inputs import read_data, report_data, report_settings
from bnnp.modes.symmetry import run as symmetry
from bnnp.run import Run
from bnnp.settings.settings import load_settings
from bnnp.structure import Set, Structure
from bnnp.training.normalization import Variables
from bnnp.training.samples import Derivatives, Samples, Targets
from bnnp.units import METAL

SETTINGS = """\
number_of_elements 2
elements H O
use_short_forces
symfunction_short H 2 O 0.1 0.0 6.0
symfunction_short H 2 H 0.1 0.0 6.0
symfunction_short O 3 H H 0.01 1.0 1.0 6.0
symfunction_short O 2 O 0.1 0.0 8.0
random_seed 1
test_fraction 0.1
"""
OH = 0.9572  # Angstrom
ANGLE = np.deg2rad(104.52)
WATER = np.array([[0.0, 0.0, 0.0], [OH, 0.0, 0.0], [OH * np.cos(ANGLE), OH * np.sin(ANGLE), 0.0]])  # Angstrom

Prepare = Callable[..., Run]


def water(unit: float, shift: float = 0.0, **labels: object) -> Structure:
    """One molecule in units of `unit` Angstrom, its second H moved by `shift` of these along x."""
    positions = WATER / unit
    positions[2, 0] += shift
    return Structure(np.array([8, 1, 1]), positions, energy=-76.0, forces=np.zeros((3, 3)), **labels)  # type: ignore[arg-type]


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """A job on given structures with SETTINGS and more lines."""
    monkeypatch.chdir(tmp_path)

    def job(structures: list[Structure], *lines: str, mode: int | None = None) -> Run:
        Path("input.nn").write_text("\n".join([SETTINGS, *lines]) + "\n")
        write_structures("input.data", structures)
        return Run(load_settings("input.nn", mode, mode_required=False))

    return job


def found(run: Run) -> DataSet:
    return read_data(StructureFile(run.data), run.settings, Log(io.StringIO(), enabled=False))


def test_distances_are_those_of_the_molecule(prepare: Prepare) -> None:
    """The closest pair of each kind over all structures, and where it is."""
    run = prepare([water(ase.units.Bohr), water(ase.units.Bohr, shift=-0.2), water(ase.units.Bohr)])
    closest = found(run).closest
    second = WATER[2] / ase.units.Bohr - [0.2, 0.0, 0.0]
    hh = np.linalg.norm(second - WATER[1] / ase.units.Bohr)
    undistorted = 2 * OH * np.sin(ANGLE / 2) / ase.units.Bohr
    assert hh > undistorted  # the atom was moved away from the other H: the undistorted molecules are closer
    assert closest["H", "H"].distance == pytest.approx(undistorted, rel=1e-9)
    assert closest["H", "O"].distance == pytest.approx(
        min(OH / ase.units.Bohr, np.linalg.norm(second)), rel=1e-9
    )
    assert closest["H", "O"].structure.startswith("structure 1 ")
    assert closest["H", "O"].atoms == (2, 1)
    assert ("O", "O") not in closest


def test_periodic_images_count(prepare: Prepare) -> None:
    cell = np.diag([20.0, 20.0, 2.0])
    run = prepare([Structure(np.array([1]), np.zeros((1, 3)), cell, energy=-0.5, forces=np.zeros((1, 3)))])
    assert found(run).closest["H", "H"].distance == pytest.approx(2.0, rel=1e-12)


def test_compositions_and_counts(prepare: Prepare) -> None:
    positions, forces = np.array([[0, 0, 0], [0, 0, 1.4]]), np.array([[0, 0, 0.5], [0, 0, 0]])
    hydrogen = Structure(np.array([1, 1]), positions, energy=-1.1, forces=forces)
    structures = [
        water(ase.units.Bohr, subset=Set.TEST),
        water(ase.units.Bohr, cell=30.0 * np.eye(3), stress=np.zeros(6)),
        hydrogen,
    ]
    run = prepare(structures, "atom_energy H -0.5", "atom_energy O -75.0")
    data = found(run)
    assert {f: (c.n_structures, c.n_atoms) for f, c in data.compositions.items()} == {
        "H2O": (2, 6),
        "H": (1, 2),
    }
    assert data.compositions["H"].energies == pytest.approx([(-1.1 + 1.0) / 2])
    assert data.compositions["H2O"].energies == pytest.approx([0.0, 0.0])
    assert (data.n_stress, data.n_forces, data.n_periodic, data.n_pinned) == (
        1,
        3,
        1,
        {Set.TRAIN: 0, Set.TEST: 1, Set.CALIBRATION: 0, Set.OUTSIDE: 0},
    )
    assert data.largest_force == 0.5
    assert data.n_unbalanced == 1


def test_calculations_that_do_not_belong_together(prepare: Prepare) -> None:
    """As mode 1 says it, with the groups."""
    structures = [water(ase.units.Bohr) for _ in range(4)]
    for number, cutoff in ((0, 400), (1, 400), (2, 520)):
        info = {"group": f"run{number}", "method": f"xc:PBE,encut:{cutoff},charge:0"}
        structures[number] = replace(structures[number], info=info)
    run = prepare(structures)
    (doubt,) = [text for text in found(run).doubts if "belong together" in text]
    assert "ENCUT (eV): 400 in group run0, group run1; 520 in group run2" in doubt


def test_sizes_that_no_calculation_gives(prepare: Prepare) -> None:
    """A wrong energy is named by its number in the file, also behind a structure that cannot be used."""
    structures = [water(ase.units.Bohr) for _ in range(14)]
    structures[2] = replace(structures[2], numbers=np.array([79, 1, 1]))
    structures[9] = replace(structures[9], energy=-76.0 + 3.0 * 6e7)
    run = prepare(structures)
    (doubt,) = found(run).sizes.doubts(run.settings.model.units, str)
    assert doubt.startswith("1 structure has an energy far from the others of their composition: 8 (")
    output = io.StringIO()
    report_data(found(run), run.settings, Log(output))
    assert "structure 10 (+1632683161" in " ".join(output.getvalue().split())  # 6e7 hartree in eV


@pytest.mark.parametrize(
    ("data_unit", "line", "expected"),
    [
        (ase.units.Bohr, "units atomic", None),
        (1.0, "units metal", None),
        (1.0, "units atomic", "looks like Angstrom"),
        (ase.units.Bohr, "units metal", "looks like bohr"),
    ],
)
def test_wrong_units_of_length_are_noticed(
    prepare: Prepare, data_unit: float, line: str, expected: str | None
) -> None:
    run = prepare([water(data_unit)], line)
    advice = unit_advice(found(run).reaches, run.settings.model.units)
    assert (advice is None) if expected is None else (advice is not None and expected in advice)


@pytest.mark.parametrize("name", ["h2o"])
def test_genuine_data_are_in_the_right_units(shared: Path, name: str) -> None:
    settings = load_settings(shared / "data" / name / "input.nn", 1)
    data = read_data(
        StructureFile(shared / "data" / name / "input.data"), settings, Log(io.StringIO(), enabled=False)
    )
    assert unit_advice(data.reaches, settings.model.units) is None
    assert data.n_structures == len(data.n_atoms)
    assert data.faults == []


def test_atoms_that_coincide_are_counted(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    twice = Structure(
        np.array([1, 1]), np.array([[0.0, 0, 0], [0, 0, 0.1]]), energy=-1.0, forces=np.zeros((2, 3))
    )
    check.check(prepare([water(ase.units.Bohr), twice]))
    text = " ".join(capsys.readouterr().out.split())
    assert "1 structure has atoms closer than bond_threshold (0.5 bohr)" in text


def test_unknown_elements_are_all_told(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    carbon = Structure(np.array([6]), np.zeros((1, 3)), energy=-37.0, forces=np.zeros((1, 3)))
    with pytest.raises(
        InputError, match="(?s)2 structures cannot be used.*structure 2 .*C is not among.*structure 3"
    ):
        check.check(prepare([water(ase.units.Bohr), carbon, carbon]))
    assert "Normal termination" not in capsys.readouterr().out


def test_a_damaged_structure_does_not_hide_the_next(prepare: Prepare) -> None:
    run = prepare([water(ase.units.Bohr)] * 3)
    text = run.data.read_text().replace("energy ", "energy x", 2)
    run.data.write_text(text)
    assert len(found(run).faults) == 2


def test_the_report_shows_values_and_origins(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    run = prepare([water(ase.units.Bohr)], "bond_threshold 0.4")
    check.check(run)
    out = capsys.readouterr().out
    rows = {
        line.split()[0]: line.split()[1:]
        for line in out.splitlines()
        if line.endswith("default") or "input.nn line" in line
    }
    assert rows["bond_threshold"] == ["0.4", "bohr", "input.nn", "line", "11"]
    assert rows["batch_size"] == ["4", "default"]
    assert rows["check_input_forces"] == ["0.001", "hartree/bohr", "default"]
    assert "mode 1                     ready" in out
    assert "mode 2                     stops, as it finds no forces" in out
    assert "neighbors of an atom       2 within 8 bohr" in out
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["input.data", "input.nn"]


def test_functions_that_mode_1_will_choose(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    run = prepare([water(ase.units.Bohr)])
    kept = [line for line in Path("input.nn").read_text().splitlines() if "symfunction" not in line]
    Path("input.nn").write_text("\n".join([*kept, "symmetry_functions auto 20"]))
    check.check(replace(run, settings=load_settings("input.nn", mode_required=False, choosing=True)))
    text = " ".join(capsys.readouterr().out.split())
    assert "chosen by mode 1 from the structures: at most 20 of each element" in text
    assert "Time and memory are estimated once mode 1 has chosen" in text
    assert "mode 1 ready" in text


def test_only_keywords_of_the_mode_are_shown(prepare: Prepare) -> None:
    network = (
        "global_hidden_layers_short 1",
        "global_nodes_short 3",
        "global_activation_short t l",
        "epochs 1",
    )
    run = prepare([water(ase.units.Bohr)], *network, mode=2)
    stream = io.StringIO()
    report_settings(run.settings, Log(stream, enabled=True))
    assert "learning_rate" in stream.getvalue()
    assert "test_fraction" not in stream.getvalue()
    assert "O              2  " not in stream.getvalue()
    assert "2-3-1" in stream.getvalue()


NETWORK = (
    "global_hidden_layers_short 1",
    "global_nodes_short 3",
    "global_activation_short t l",
    "epochs 5",
    "precision double",
)


def test_estimate_of_mode_2(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    check.check(prepare([water(ase.units.Bohr)] * 4, *NETWORK))
    text = " ".join(capsys.readouterr().out.split())
    assert "time of 5 epochs about" in text
    assert "checkpoint.npz" in text


@pytest.mark.parametrize("forces", [True, False])
def test_estimate_of_mode_2_is_what_a_training_keeps(prepare: Prepare, forces: bool) -> None:
    """Bytes of the samples of a real training; a share `test_fraction` takes no training time."""
    molecules = [water(ase.units.Bohr, shift=0.01 * k) for k in range(6)]
    pull = np.outer([2.0, -1.0, -1.0], [0.01, 0.0, 0.0])
    run = prepare([replace(molecule, forces=pull) for molecule in molecules], *NETWORK)
    if not forces:
        text = Path("input.nn").read_text()
        Path("input.nn").write_text(text.replace("use_short_forces\n", "use_short_forces .false.\n"))
        run = Run(load_settings("input.nn", mode_required=False))
    guess = estimate_training(StructureFile(run.data), run.settings, stored=forces)
    assert guess.seconds > 0.0
    symmetry.compute(Run(load_settings("input.nn", 1)))
    with DescriptorFile.open("symmetry_functions.h5") as file:
        settings = run.settings
        plain = {x: Affine.mixing(np.zeros(n), np.eye(n)) for x, n in (("H", 2), ("O", 2))}
        variables = Variables(plain, np.zeros(2), 1.0)
        derivatives = Derivatives(settings.structures.use_short_forces)
        samples = Samples(file, variables, Targets(np.zeros(2)), derivatives)
        assert sum(samples[index].nbytes for index in range(6)) == guess.data


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is a second further at each look at it."""
    monkeypatch.setattr(costs, "time", SimpleNamespace(perf_counter=itertools.count().__next__))


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize(
    ("optimizer", "seconds"),
    [
        ("adam", 1.0),
        ("kalman", 3.0),  # and one for the block of the covariance of each element
        ("kalman\nkalman_covariance full", 2.0),
        ("kalman\nkalman_updates runner", 1.0 + 2 * (1 + 9)),  # an energy and nine force components
    ],
)
def test_what_is_kept_from_the_training_takes_no_time(
    prepare: Prepare, optimizer: str, seconds: float
) -> None:
    """So many seconds for one of six equal structures, of which 0.1 are tested and a quarter of the rest
    calibrates."""
    run = prepare(
        [water(ase.units.Bohr)] * 6, *NETWORK, "calibration_fraction 0.25", f"optimizer {optimizer}"
    )
    guess = estimate_training(StructureFile(run.data), run.settings, stored=True)
    assert guess.seconds == pytest.approx(6 * 0.9 * 0.75 * seconds)


@pytest.mark.usefixtures("ticking")
def test_a_sample_that_is_cut_short_is_of_the_whole_file(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten of twenty: molecules, whose atoms have 2 neighbors, then atoms apart, which have none."""
    monkeypatch.setattr(costs, "PATIENCE", 10 * 5 - 1)  # five looks at the clock for each structure
    apart = Structure(np.array([8, 1, 1]), 50.0 * np.eye(3), energy=0.0, forces=np.zeros((3, 3)))
    run = prepare([water(ase.units.Bohr)] * 10 + [apart] * 10)
    guess = estimate_symmetry(StructureFile(run.data), run.settings)
    assert guess.neighbors == pytest.approx(1.0, abs=4 * 0.23)  # sigma of 10 of 20 without replacement
    assert guess.seconds_recomputed == pytest.approx(20.0)  # a second for each structure, timed or not


def test_sizes_are_exact_where_the_sample_is_everything(prepare: Prepare) -> None:
    """Numbers a molecule of three atoms takes: counted by hand from the schema of symmetry_functions.h5."""
    run = prepare([water(ase.units.Bohr)] * 4)
    guess = estimate_symmetry(StructureFile(run.data), run.settings)
    record = survey(water(ase.units.Bohr), ("H", "O"), 8.0, {})
    assert record["n_pairs"].tolist() == [[2, 2], [2, 0]]
    assert guess.neighbors == 2.0
    # functions that feel the neighbor: H-H 1, H-O 1, O-H 1 (the angular one); 3 float32 each; 28 bytes a pair
    pairs_and_blocks = 6 * 28 + (2 * 1 + 2 * 1 + 2 * 1) * 3 * 4
    per_atom = 4
    assert guess.bytes_stored - guess.bytes_recomputed == pytest.approx(
        4 * (pairs_and_blocks + 3 * per_atom), rel=0.2
    )
    assert guess.seconds_stored >= guess.seconds_recomputed > 0.0


def test_what_stops_mode_1_is_no_ready(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    for lines, message in (
        (["units metal"], "this looks like bohr.*remove `units metal`"),
        (["uncertainty hybrid"], "needs a calibration with at least 10 structures"),
    ):
        with pytest.raises(InputError, match=message):
            check.check(prepare([water(ase.units.Bohr)] * 12, *lines))
        assert "ready" not in capsys.readouterr().out


def test_doubted_labels_are_no_ready(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    """Stresses in GPa, and lengths that no unit explains; in the right unit all modes are ready."""
    cell, gpa = 30.0 * np.eye(3), np.full(6, 2.0)
    right = [water(ase.units.Bohr, cell=cell, stress=gpa / METAL.gpa * 0.001) for _ in range(12)]
    for structures, lines, doubt in (
        (right, [], ""),
        ([replace(one, stress=gpa) for one in right], [], "the numbers are in GPa"),
        ([replace(one, positions=0.3 * one.positions) for one in right], [], "typically 0.30 of"),
        ([replace(one, positions=0.2 * one.positions) for one in right], [], "closer than bond_threshold"),
        (right, ["units metal", "check_units .false."], "this looks like bohr"),
    ):
        check.check(prepare(structures, *lines))
        text = " ".join(capsys.readouterr().out.split())
        assert text.count("WARNING") >= bool(doubt)
        assert doubt in text
        assert ("ready" in text) is not bool(doubt)
        assert ("what the data hold is doubtful" in text) is bool(doubt)


def test_a_wrong_unit_is_told_once(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="this looks like bohr"):
        check.check(prepare([water(ase.units.Bohr)] * 12, "units metal"))
    assert "this looks like bohr" not in capsys.readouterr().out


def test_forces_that_are_not_there_are_no_ready(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    """As mode 2 says, too; without the keyword it trains on energies."""
    network = ["global_hidden_layers_short 1", "global_nodes_short 3", "global_activation_short t l"]
    for asked in (True, False):
        job = prepare([water(ase.units.Bohr)] * 12, *network, "epochs 1")
        text = Path("input.nn").read_text().replace("use_short_forces\n", "use_short_forces\n" * asked)
        Path("input.nn").write_text(text)
        check.check(replace(job, settings=load_settings("input.nn", None, mode_required=False)))
        found = dict(re.findall(r"mode (\d) +(\w+)", capsys.readouterr().out))
        assert found == {"1": "ready", "2": "stops" if asked else "ready", "3": "ready"}
