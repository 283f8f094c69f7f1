"""bnnp vasp on real outputs of VASP 4.6 to 6.3, most of them awkward.

What is expected was read off the files with grep and by eye, not by the program: number of labeled steps,
free energy (TOTEN, eV) of the first and the last one, the force on the second atom in the last one
(eV/Angstrom), and its stress "in kB" in VASP's order XX YY ZZ XY YZ ZX.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import vasp2data
from click.testing import CliRunner, Result

from bnnp.io.input_data import read_structures

KILOBAR = 1e8 * 1e-30 / 1.602176634e-19  # 1e8 Pa in eV/Angstrom^3
VOIGT = [0, 1, 2, 4, 5, 3]

# name: steps, first energy, last energy, force, kB
EXPECTED = {
    "dpdata__OUTCAR.Ge.vdw.gz": (
        1,
        -33.36815582,
        -33.36815582,
        (-0.003983, 0.006375, 0.161565),
        (12.51388, -1.93449, 2.73646, 4.48991, 12.97593, -0.19443),
    ),
    "dpdata__OUTCAR.ch4.ml.gz": (
        4,
        -24.12709802,
        -24.12697674,
        (-0.071515, -0.003306, -0.000696),
        (0.05056, 0.07254, 0.06219, 0.02715, 0.01208, -0.01259),
    ),
    "dpdata__OUTCAR.ch4.unconverged.gz": (
        1,
        -23.94708651,
        -23.94708651,
        (0.748780, -0.191673, -0.108863),
        (-1.88733, -0.47624, -1.40245, 0.85517, 1.94860, -0.51681),
    ),
    "dpdata__OUTCAR.h2o.md.10.gz": (
        10,
        -28.38622624,
        -28.39848822,
        (-1.478970, -0.663468, -0.917499),
        (-2.19820, -2.25675, -3.00925, -0.39825, -0.44604, 0.73303),
    ),
    "dpdata__Ti-O-Ti-v6_OUTCAR.gz": (
        1,
        -57.48343729,
        -57.48343729,
        (-0.036895, -1.019247, 0.000065),
        (-199.00014, -181.85530, -374.19175, -0.00312, 0.00325, -0.00151),
    ),
    "dpdata__Ti-aimd-nwrite0_OUTCAR.gz": (
        2,
        -253.15557734,
        -252.38626263,
        (-0.134825, -0.347534, -0.168248),
        (-150.15310, 8.47953, 1.85892, -0.79979, -0.27543, 0.75046),
    ),
    "dpdata__Ti-aimd-nwrite0_vasprun.xml.gz": (
        10,
        -253.15557734,
        -252.38626263,
        (-0.13482457, -0.34753415, -0.16824791),
        (-150.15310495, 8.47953302, 1.85891868, -0.79978778, -0.27542733, 0.75046395),
    ),
    "dpdata__outcar.longit_OUTCAR.gz": (
        1,
        -355.37383073,
        -355.37383073,
        (0.001551, -0.748647, 0.454988),
        (-51.05240, -44.41674, -44.40624, 20.52021, -9.39828, -5.14130),
    ),
    "dpdata__vasprun.Ge.vdw.xml.gz": (
        1,
        -33.36815582,
        -33.36815582,
        (-0.00398280, 0.00637459, 0.16156485),
        (12.51388141, -1.93449221, 2.73645740, 4.48990833, 12.97593421, -0.19443166),
    ),
    "dpdata__vasprun.h2o.md.10.xml.gz": (
        10,
        -28.38622624,
        -28.39848822,
        (-1.47896956, -0.66346809, -0.91749943),
        (-2.19819629, -2.25675144, -3.00925120, -0.39825238, -0.44603543, 0.73303043),
    ),
    "dpdata__vasprun.h2o.md.tribox.lower.xml.gz": (
        3,
        6.29871571,
        -14.41951264,
        (-2.90809468, -1.56207666, -1.87865920),
        (-42.58592487, -45.62473603, -32.45983071, -25.72611614, -24.81899357, -7.87321375),
    ),
    "gpumd__WH-AIMD_OUTCAR.gz": (
        3,
        -3283.96931324,
        -3310.05614492,
        (0.187182, 0.078115, 0.259360),
        (157.68456, 150.74653, 160.66336, -2.31745, -1.66494, -5.63392),
    ),
    "kryczko__Difference_vasprun.xml.gz": (
        900,
        -14.21125834,
        -14.21162058,
        (-0.58996498, -0.39444560, -0.01338704),
        (-3.10007105, -1.86209895, -0.24418670, 0.00690820, -0.04996545, 0.00047261),
    ),
    "li__HT_9R_0_0.OUTCAR.bz2": (
        1,
        -934.44624169,
        -934.44624169,
        (-0.207462, 0.438346, -0.031713),
        (12.05732, 11.03767, 12.39776, 0.82520, 0.31913, 0.04888),
    ),
    "nomad__bulk_1QQiG_OUTCAR.gz": (
        60,
        -593.94394444,
        -593.94493137,
        (0.0, -0.002916, -0.002916),
        (-13.88209, 4.17558, 4.17558, 0.0, 2.89686, 0.0),
    ),
    "nomad__vasprun.xml.broken": (1, -40.14867659, -40.14867659, (0.0, 0.0, 0.0), None),
    "parsevasp__OUTCAR.not-converged.gz": (
        2,
        -6.50208935,
        -3.64907508,
        (12.796626, 6.538496, -15.216151),
        (323.75054, 63.43791, 499.10911, 149.73407, -185.88856, -408.77783),
    ),
    "parsevasp__OUTCAR.unfinished.gz": (
        12,
        -6.50208935,
        -8.61714126,
        (1.158369, 0.815854, -0.625065),
        (-75.95968, -38.28043, -48.40376, -20.91002, -5.23252, 27.63949),
    ),
    "parsevasp__disp.xml.gz": (
        1,
        -42.91232073,
        -42.91232073,
        (-0.24271485, 0.0, 0.0),
        (-0.38492410, 12.51417019, 12.51417019, 0.0, -25.93393425, 0.0),
    ),
    "pymatgen__OUTCAR.gz": (
        5,
        -34.006249,
        -34.007267,
        (-0.010711, -0.006501, 0.001433),
        (10.78883, 14.68347, 13.73615, 1.74374, -0.04790, -2.80725),
    ),
    "pymatgen__vasprun.bad_random_seed.xml.gz": (
        264,
        -225.88307402,
        -219.56290804,
        (0.29307792, -0.57270952, 0.22801031),
        (-0.03966803, -6.38476473, -0.78531159, 4.55295764, 2.56685208, 4.26612838),
    ),
    "pymatgen__vasprun.md.xml.gz": (
        10,
        -338.31623099,
        -327.76427636,
        (-0.51597043, 1.57747739, -0.07478113),
        (32.68638766, 34.35167707, 30.37833126, 0.34602449, -5.16701048, -2.21627287),
    ),
    "pymatgen__vasprun.ml_md.xml.gz": (
        20,
        -525.07195568,
        -522.64962657,
        (-0.58593551, 0.95923897, 0.37647592),
        None,
    ),
    "pypolymlp__md-Cu_vasprun.xml.gz": (
        66,
        -414.16722438,
        -424.09249789,
        (-0.38678445, -1.24980610, -0.41720402),
        (19.45154392, -8.40635306, 18.44936905, -0.97096227, -2.85194047, 4.96981822),
    ),
    "tensoralloy__Be_md_vasprun.xml.gz": (
        10,
        87.02726582,
        163.15445417,
        (0.87092743, 4.10851858, -3.55076850),
        (6200.53519144, 6153.56350524, 6183.93032839, -0.36646633, 36.34223758, 62.65592496),
    ),
    "vaspint__broken_output_step-1_OUTCAR.gz": (
        1,
        -6.23239278,
        -6.23239278,
        (3.666986, 0.0, -0.000001),
        (-12.90666, -1.48004, -1.48004, 0.0, 0.0, 0.0),
    ),
    "vaspint__broken_output_step-1_vasprun.xml.gz": (
        1,
        -6.23239278,
        -6.23239278,
        (3.66698636, 0.0, -0.00000090),
        (-12.90666474, -1.48003972, -1.48003984, 0.00000016, 0.00000020, -0.00000042),
    ),
    "vaspint__mlff_outputs_OUTCAR.istart1.gz": (
        10,
        -6.69814944,
        -6.70061453,
        (-0.002622, 0.005015, -0.160461),
        (-1.73070, -1.72937, -1.02767, -0.00098, -0.03238, 0.01715),
    ),
}
LEFT_OUT = {
    "dpdata__OUTCAR.ch4.ml.gz": "6 prediction",
    "dpdata__OUTCAR.ch4.unconverged.gz": "2 electronic loop not converged within NELM",
    "dpdata__Ti-aimd-nwrite0_OUTCAR.gz": "8 positions and forces not written",
    "pymatgen__vasprun.ml_md.xml.gz": "80 prediction",
    "vaspint__broken_output_step-1_OUTCAR.gz": "1 cut off",
    "vaspint__broken_output_step-1_vasprun.xml.gz": "1 cut off",
    "vaspint__mlff_outputs_OUTCAR.istart1.gz": "3 prediction",
}
REFUSED = {
    "kirbymad__ML_AB.gz": "134 no total energy",
    "vaspint__mlff_outputs_OUTCAR.istart2.gz": "none of 3 steps can be used: 3 prediction",
}


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(vasp2data.main, [str(argument) for argument in arguments])


@pytest.fixture
def folder(shared: Path) -> Path:
    path = shared / "data" / "vasp"
    if not path.is_dir():
        pytest.skip("no outputs of VASP in ../shared")
    return path


@pytest.mark.parametrize("name", EXPECTED)
def test_labels(folder: Path, tmp_path: Path, name: str) -> None:
    steps, first, last, force, kilobar = EXPECTED[name]
    result = convert("--units", "metal", folder / name, tmp_path / "input.data")
    assert result.exit_code == 0, result.output
    whole = " 1 structure of 1 step" if steps == 1 else f" {steps} structures of {steps} steps"
    assert LEFT_OUT.get(name, whole) in result.output
    structures = list(read_structures(tmp_path / "input.data"))
    assert len(structures) == steps
    assert structures[0].energy == pytest.approx(first, abs=1e-9)
    assert structures[-1].energy == pytest.approx(last, abs=1e-9)
    np.testing.assert_allclose(structures[-1].forces[1], force, atol=1e-9)
    if kilobar is None:
        return
    np.testing.assert_allclose(
        structures[-1].stress, -KILOBAR * np.array(kilobar)[VOIGT], rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_true_reason(folder: Path, tmp_path: Path, name: str) -> None:
    result = convert(folder / name, tmp_path / "input.data")
    assert result.exit_code == 1
    assert REFUSED[name] in result.stderr
    assert not (tmp_path / "input.data").exists()


@pytest.mark.slow
def test_the_whole_folder(folder: Path, tmp_path: Path) -> None:
    """All runs at once; of the two with an OUTCAR and a vasprun.xml of the same name the latter is taken."""
    result = convert("--units", "metal", folder, tmp_path / "input.data")
    assert result.exit_code == 1  # the two that are refused
    assert Counter(result.stderr.split()).get("Not") == 2
    same = {"dpdata__Ti-aimd-nwrite0_OUTCAR.gz", "vaspint__broken_output_step-1_OUTCAR.gz"}
    others = {"dpdata__OUTCAR.Ge.vdw.gz", "dpdata__OUTCAR.h2o.md.10.gz"}
    expected = sum(row[0] for name, row in EXPECTED.items() if name not in same | others)
    assert len(list(read_structures(tmp_path / "input.data"))) == expected


@pytest.mark.parametrize(
    ("outcar", "vasprun"),
    [
        ("dpdata__OUTCAR.h2o.md.10.gz", "dpdata__vasprun.h2o.md.10.xml.gz"),
        ("dpdata__OUTCAR.Ge.vdw.gz", "dpdata__vasprun.Ge.vdw.xml.gz"),
    ],
)
@pytest.mark.parametrize("energy", ["free", "sigma0"])
def test_two_files_of_one_run_agree(
    folder: Path, tmp_path: Path, outcar: str, vasprun: str, energy: str
) -> None:
    """To the digits that OUTCAR has; sigma->0 too, which is wrong in vasprun.xml of VASP 5 as it stands."""
    both = []
    for name in (outcar, vasprun):
        target = tmp_path / f"{name}.data"
        assert convert("--units", "metal", "--energy", energy, folder / name, target).exit_code == 0
        both.append(list(read_structures(target)))
    for one, other in zip(*both, strict=True):
        assert one.symbols == other.symbols
        assert one.energy == pytest.approx(other.energy, abs=1.1e-8)
        np.testing.assert_allclose(one.cell, other.cell, atol=2e-8)
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-6)
        np.testing.assert_allclose(one.stress, other.stress, atol=1e-8)
        shift = (one.positions - other.positions) @ np.linalg.inv(one.cell)
        np.testing.assert_allclose(shift, np.round(shift), atol=1e-5)


@pytest.mark.parametrize("name", ["gpumd__WH-AIMD_OUTCAR.gz", "pypolymlp__md-Cu_vasprun.xml.gz"])
def test_agrees_with_ase(folder: Path, tmp_path: Path, name: str) -> None:
    """Where ASE can read a file, all of its numbers."""
    import ase.io

    format_ = "vasp-out" if "OUTCAR" in name else "vasp-xml"
    assert convert("--units", "metal", folder / name, tmp_path / "input.data").exit_code == 0
    images = ase.io.read(folder / name, ":", format=format_)
    for structure, atoms in zip(read_structures(tmp_path / "input.data"), images, strict=True):
        assert structure.symbols == atoms.get_chemical_symbols()
        assert structure.energy == pytest.approx(atoms.calc.results["free_energy"])
        np.testing.assert_allclose(structure.cell, atoms.cell[:], atol=1e-8)
        np.testing.assert_allclose(structure.positions, atoms.positions, atol=1e-6)
        np.testing.assert_allclose(structure.forces, atoms.get_forces(apply_constraint=False), atol=1e-8)
        np.testing.assert_allclose(structure.stress, atoms.get_stress(), rtol=1e-6, atol=1e-8)
