"""The export for n2p2 and pair_style hdnnp: the same numbers without dropout, or a refusal."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from lammps_case import ATOMIC, TERNARY, load_potential, make_potential, random_structure

from bnnp.cli import main
from bnnp.interfaces.hdnnp import mean_network
from bnnp.io.input_nn import read_input_nn
from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.network.tensors import evaluate
from bnnp.settings.settings import load_settings

N2P2_WORDS = {
    "number_of_elements", "elements", "atom_energy", "cutoff_type", "scale_symmetry_functions",
    "center_symmetry_functions", "scale_symmetry_functions_sigma", "scale_min_short", "scale_max_short",
    "global_hidden_layers_short", "global_nodes_short", "global_activation_short", "normalize_nodes",
    "symfunction_short", "mean_energy", "conv_energy", "conv_length",
}  # fmt: skip
EXPORTABLE = re.sub(r"symfunction_short Sb [48] .*\n", "", TERNARY).replace("cutoff_type 2", "cutoff_type 1")


def bnnp(directory: Path, *arguments: str) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        result = CliRunner().invoke(main, arguments)
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def exportable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Type 1 among the functions, which changes its place when it becomes type 2."""
    return make_potential(tmp_path_factory.mktemp("exportable") / "run", EXPORTABLE, (0.0, 0.2, 0.2)).parent


@pytest.fixture(scope="module")
def atomic_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_potential(tmp_path_factory.mktemp("run") / "run", ATOMIC, (0.1, 0.1, 0.1, 0.0)).parent


@pytest.mark.parametrize("drops_inputs", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("nodes", [(4,), (4, 3), (4, 3, 5)])
def test_mean_network_is_the_mean_of_the_networks(
    nodes: tuple[int, ...], normalize: bool, drops_inputs: bool
) -> None:
    rng = np.random.default_rng(1)
    architecture = Architecture(nodes, (*"tgs"[: len(nodes)], "l"))
    network = Network.from_flat(rng.normal(size=architecture.n_weights(6)), architecture, 6, normalize)
    masks = [(rng.random((3, n)) > 0.3) / 0.7 for n in network.sizes]
    if not drops_inputs:
        masks[0] = np.ones((3, 6))
    inputs = rng.normal(size=(5, 6))
    expected = [evaluate(network, inputs, [mask[k] for mask in masks]) for k in range(3)]
    mean = mean_network(network, masks, drops_inputs)
    for found, own in zip(evaluate(mean, inputs), zip(*expected, strict=True), strict=True):
        np.testing.assert_allclose(found, np.mean(own, axis=0), rtol=1e-12, atol=1e-14)
    assert mean.sizes[1] == (3 * nodes[0] if drops_inputs else nodes[0])
    assert mean.sizes[2:] == tuple(3 * n for n in nodes[1:])


@pytest.mark.parametrize("masks", [0, 4])
def test_export_gives_the_same_energies_and_forces(exportable: Path, tmp_path: Path, masks: int) -> None:
    target = tmp_path / "hdnnp"
    which = ["--masks", str(masks)] if masks else []
    code, text = bnnp(exportable, "--export", "hdnnp", str(target), *which)
    assert code == 0, text
    words = {entry.name for entry in read_input_nn(target / "input.nn")}
    assert words <= N2P2_WORDS
    assert not (target / "uncertainty.data").exists()
    (target / "input.nn").write_text("units metal\n" + (target / "input.nn").read_text())
    exported, original = load_potential(target), exportable / "potential"
    if masks:
        other = tmp_path / "few"
        bnnp(exportable, "--export", "bnnp", str(other))
        (other / "input.nn").write_text((other / "input.nn").read_text() + f"mc_samples {masks}\n")
        original = other
    expected_potential = load_potential(original)
    structure = random_structure(("Ge", "Sb", "Te"), seed=1)
    found = exported.predict(structure)
    if masks:
        expected = expected_potential.predict(structure)
    else:
        (other := tmp_path / "plain").mkdir()
        for path in original.iterdir():
            if path.name != "uncertainty.data":
                (other / path.name).write_bytes(path.read_bytes())
        expected = load_potential(other).predict(structure)
    assert found.energy.value == pytest.approx(expected.energy.value, rel=1e-13)
    np.testing.assert_allclose(found.forces.value, expected.forces.value, rtol=0, atol=1e-11)
    assert not any(" 1 Te 5.75" in line for line in (target / "input.nn").read_text().splitlines())


@pytest.mark.parametrize("units", ["atomic", "metal"])
@pytest.mark.parametrize("options", [(), ("--fold",), ("--fold", "--masks", "3")])
@pytest.mark.parametrize("name", ["exportable", "atomic_run"])
def test_other_units_and_folded(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, options: tuple[str, ...], units: str
) -> None:
    """The same energies and forces, with free atoms, normalization, scaling interval and normalize_nodes."""
    run: Path = request.getfixturevalue(name)
    code, text = bnnp(run, "--export", "hdnnp", str(tmp_path / "plain"), *options[1:])
    assert code == 0, text
    code, text = bnnp(run, "--export", "hdnnp", str(tmp_path / "new"), "--units", units, *options)
    assert code == 0, text
    own = load_settings(run / "input.nn", 3).model.units
    for folder, written in (("plain", own.name), ("new", units)):
        path = tmp_path / folder / "input.nn"
        path.write_text(f"units {written}\n" + path.read_text())
    old, new = load_potential(tmp_path / "plain"), load_potential(tmp_path / "new")
    length, energy = old.units.over(new.units)
    structure = random_structure(old.elements, seed=1, scale=1.0 / old.units.angstrom)
    other = replace(structure, positions=structure.positions * length, cell=structure.cell * length)
    one, two = old.predict(structure), new.predict(other)
    assert two.energy.value == pytest.approx(one.energy.value * energy, rel=1e-12)
    np.testing.assert_allclose(two.forces.value, one.forces.value * energy / length, rtol=1e-9, atol=1e-11)
    words = {line.name for line in read_input_nn(tmp_path / "new" / "input.nn")} - {"units"}
    assert words <= N2P2_WORDS
    if options:
        assert not words & {"atom_energy", "mean_energy", "conv_energy", "conv_length", "normalize_nodes"}
        assert (new.model.scaling.s_min, new.model.scaling.s_max) == (0.0, 1.0)


def test_nothing_is_folded_into_an_output_that_is_not_linear(tmp_path: Path) -> None:
    make_potential(tmp_path / "run", ATOMIC.replace("p g t l", "p g t t"), ())
    for options in (["--fold"], ["--units", "metal"]):
        text = ATOMIC if options == ["--fold"] else re.sub(r"(mean|conv)_.*\n", "", ATOMIC)
        folder = make_potential(tmp_path / options[0] / "run", text.replace("p g t l", "p g t t"), ()).parent
        code, text = bnnp(folder, "--export", "hdnnp", str(tmp_path / "x"), *options)
        assert code == 1
        assert "the output of the networks is not linear (activation t)" in text


CP2K = re.sub(
    " 9.0 0.5\n",
    " 9.0\n",
    ATOMIC.replace("cutoff_type 1 0.25", "cutoff_type 1").replace("p g t l", "s g t l"),
)
CP2K_INPUT = """\
&GLOBAL
  PROJECT test
  RUN_TYPE ENERGY_FORCE
&END GLOBAL
&FORCE_EVAL
  METHOD NNP
{lines}
  &PRINT
    &FORCES
      NDIGITS 12
    &END FORCES
  &END PRINT
  &SUBSYS
    &CELL
{cell}
    &END CELL
    &COORD
      UNIT bohr
{atoms}
    &END COORD
  &END SUBSYS
&END FORCE_EVAL
"""


@pytest.mark.skipif(shutil.which("cp2k") is None, reason="CP2K is not here")
def test_cp2k_gives_the_same_energy_and_forces(tmp_path: Path) -> None:
    """METHOD NNP of CP2K 2023.1, in hartree and bohr."""
    folder = make_potential(tmp_path / "run", CP2K.replace("37.123456789012345", "0.37"), ()).parent
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lines = CliRunner().invoke(main, ["--export", "hdnnp", "new", "--fold"]).output
    potential = load_potential(folder / "potential")
    structure = random_structure(potential.elements, seed=2, scale=1.0 / potential.units.angstrom)

    def rows(names: list[str], vectors: np.ndarray) -> str:
        return "\n".join(
            f"{name} {x!r} {y!r} {z!r}" for name, (x, y, z) in zip(names, vectors.tolist(), strict=True)
        )

    cell = rows(["A [bohr]", "B [bohr]", "C [bohr]"], structure.cell)
    atoms = rows(structure.symbols, structure.positions)
    text = CP2K_INPUT.format(lines=lines[lines.index("&NNP") :], cell=cell, atoms=atoms)
    (folder / "cp2k.inp").write_text(text)
    found = subprocess.run(
        ["cp2k", "cp2k.inp"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    energy = re.search(r"ENERGY\| Total FORCE_EVAL.*:\s+(\S+)", found)
    assert energy is not None
    pattern = r"^\s+\d+\s+\d+\s+[A-Z][a-z]?\s+(\S+)\s+(\S+)\s+(\S+)\s*$"
    forces = np.array(re.findall(pattern, found, re.MULTILINE), dtype=float)
    expected = potential.predict(structure)
    assert float(energy[1]) == pytest.approx(expected.energy.value, rel=1e-12)
    assert np.abs(expected.forces.value).max() > 1e-5
    np.testing.assert_allclose(forces, expected.forces.value, atol=1e-11)


@pytest.mark.parametrize(
    ("old", "new", "lacking"),
    [
        ("s g t l", "s p t l", "the activations p with right forces"),
        ("cutoff_type 1", "cutoff_type 3", "another cutoff_type"),
        ("short 3 0.01 1.0 2.5", "short 9 0.01 1.0 2.5", "other types than 2 and 3"),
        ("2.5 9.0", "2.5 9.0 0.5", "functions of type 3 with rs"),
        ("elements Ge Te", "elements Ge Te\nunits metal", "Angstrom and eV"),
    ],
)
def test_what_cp2k_lacks(tmp_path: Path, old: str, new: str, lacking: str) -> None:
    assert old in CP2K
    folder = make_potential(tmp_path / "run", CP2K.replace(old, new), ()).parent
    code, text = bnnp(folder, "--export", "hdnnp", "new", "--fold")
    assert code == 0, text
    assert "&NNP" not in text
    assert lacking in text


def test_lines_for_lammps(atomic_run: Path, tmp_path: Path) -> None:
    """cflength and cfenergy are Angstrom in bohr and eV in hartree; the cutoff is in Angstrom, rounded up."""
    code, text = bnnp(atomic_run, "--export", "hdnnp", str(tmp_path / "x"), "--masks", "2")
    assert code == 0, text
    pattern = r"pair_style hdnnp (\S+) dir .* cflength (\S+) cfenergy (\S+) pair_coeff \* \* Ge Te"
    match = re.search(pattern, text)
    assert match is not None
    cutoff, length, energy = map(float, match.groups())
    assert length == pytest.approx(1.8897261, rel=1e-7)  # CODATA: 1 Angstrom / 0.52917721 Angstrom
    assert energy == pytest.approx(0.03674932, rel=1e-6)
    assert 11.0 <= cutoff * length <= 11.01


def test_functions_that_never_varied(tmp_path: Path) -> None:
    """n2p2 would divide by zero."""
    run = make_potential(tmp_path / "run", EXPORTABLE, ()).parent
    path = run / "scaling.data"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# potential")]
    row = next(k for k, line in enumerate(lines) if line.split()[:2] == ["2", "3"])
    words = lines[row].split()
    lines[row] = " ".join([*words[:2], words[3], words[3], words[3], "0.0"])
    path.write_text("\n".join(lines) + "\n")
    for name in ("weights.032.data", "weights.051.data", "weights.052.data"):
        other = run / name
        kept = [line for line in other.read_text().splitlines(True) if "# potential" not in line]
        other.write_text("".join(kept))
    code, text = bnnp(run, "--export", "hdnnp", str(tmp_path / "out"))
    assert code == 0, text
    target = tmp_path / "out"
    (target / "input.nn").write_text("units metal\n" + (target / "input.nn").read_text())
    exported, original = load_potential(target), load_potential(run)
    structure = random_structure(("Ge", "Sb", "Te"), seed=1)
    expected, found = original.predict(structure), exported.predict(structure)
    assert found.energy.value == pytest.approx(expected.energy.value, rel=1e-13)
    np.testing.assert_allclose(found.forces.value, expected.forces.value, rtol=0, atol=1e-11)
    scaling = exported.scaling("Sb")
    assert scaling is not None
    assert (scaling.spread > 0.0).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (EXPORTABLE + "symfunction_short Sb 4 Te 1.25 6.0\n", "n2p2 has no symmetry function of type 4"),
        (EXPORTABLE.replace("cutoff_type 1", "cutoff_type 2"), "type 1 with cutoff_type 2"),
        (EXPORTABLE + "symfunction_short Ge 2 Te 0 0 5.75\n", "are the same for n2p2"),
        (EXPORTABLE + "element_hidden_layers_short Sb 1\n", "the same number of hidden layers"),
    ],
)
def test_what_cannot_be_expressed_is_refused(tmp_path: Path, text: str, message: str) -> None:
    make_potential(tmp_path / "run", text, ())
    code, output = bnnp(tmp_path / "run", "--export", "hdnnp", str(tmp_path / "out"))
    assert code == 1
    assert message in output
    assert not (tmp_path / "out").exists()


def test_smaller_networks_are_padded(tmp_path: Path) -> None:
    """n2p2 has one architecture for all elements."""
    for normalize in ("", "normalize_nodes\n"):
        run = tmp_path / f"run{len(normalize)}"
        make_potential(run, EXPORTABLE + normalize + "element_nodes_short Sb 1 3\n", ())
        target = tmp_path / f"out{len(normalize)}"
        assert bnnp(run, "--export", "hdnnp", str(target))[0] == 0
        (target / "input.nn").write_text("units metal\n" + (target / "input.nn").read_text())
        structure = random_structure(("Ge", "Sb", "Te"), seed=1)
        expected, found = load_potential(run).predict(structure), load_potential(target).predict(structure)
        assert found.energy.value == pytest.approx(expected.energy.value, rel=1e-13)
        np.testing.assert_allclose(found.forces.value, expected.forces.value, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--export", "hdnnp", "out", "--masks", "99"], 1, "this potential has 10 masks"),
        (["--export", "n2p2", "out"], 2, "expected one of bnnp, hdnnp"),
        (["--export", "hdnnp", "."], 1, "is the directory of the potential itself"),
        (["--masks", "3"], 2, "--export hdnnp DIR"),
        (["--export", "bnnp", "out", "--masks", "3"], 2, "--export hdnnp DIR"),
        (["--headers", "x"], 2, "use it with that"),
    ],
)
def test_wrong_use(exportable: Path, arguments: list[str], code: int, message: str) -> None:
    found, text = bnnp(exportable, *arguments)
    assert found == code
    assert message in text


def test_runners_keywords_become_a_directory_for_pair_style_bnnp(exportable: Path, tmp_path: Path) -> None:
    """input.nn of the run has RuNNer's keywords and global symmetry functions; the directory has neither."""
    target = tmp_path / "new" / "potential"
    code, text = bnnp(exportable, "--export", "bnnp", str(target))
    assert code == 0, text
    assert f"pair_coeff * * {target} Ge Sb Te" in text
    structure = random_structure(("Ge", "Sb", "Te"), seed=1)
    expected, found = load_potential(exportable).predict(structure), load_potential(target).predict(structure)
    assert found.energy.value == expected.energy.value
    assert found.energy.std == expected.energy.std


def test_centered_samples_are_exported_as_the_plain_networks(tmp_path: Path) -> None:
    folder = make_potential(tmp_path / "run", EXPORTABLE, (0.0, 0.2, 0.2), centered=True).parent
    code, text = bnnp(folder, "--export", "hdnnp", str(tmp_path / "mean"), "--masks", "4")
    assert code == 1
    assert "the prediction of this potential is that of its plain networks" in " ".join(text.split())
    code, text = bnnp(folder, "--export", "hdnnp", str(tmp_path / "plain"))
    assert code == 0, text
    assert "which give the prediction" in " ".join(text.split())
