"""The export for n2p2 and pair_style hdnnp: the same numbers without dropout, or a refusal."""

from __future__ import annotations

import re
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
from bnnp.network.sampling import sample

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
    expected = sample(network, inputs, masks, drops_inputs)
    mean = mean_network(network, masks, drops_inputs)
    found = sample(mean, inputs, [np.ones((1, n)) for n in mean.sizes], False)
    np.testing.assert_allclose(found.energies[:, 0], expected.energies.mean(axis=1), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-12, atol=1e-14)
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
        (["--masks", "3"], 2, "use it with --export hdnnp DIR"),
        (["--export", "bnnp", "out", "--masks", "3"], 2, "use it with --export hdnnp DIR"),
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
