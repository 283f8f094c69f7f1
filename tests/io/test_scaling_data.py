"""scaling.data: exact round trip, the dialects, files that belong to another network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnnp.descriptors.scaling import Scaling
from bnnp.errors import InputError, StaleFileError
from bnnp.io.scaling_data import ScalingData, read_scaling, write_scaling

COUNTS = {"Ge": 3, "Te": 2}

# RuNNer 1.2 writes five columns and a last line of energies (form of a genuine file)
RUNNER = """\
   1    1        6.723935320      25.254472038      14.275004547
   1    2        0.542647782      18.248490734       4.910384174
   1    3        0.100000000       0.200000000       0.150000000
   2    1        0.000000000       1.000000000       0.500000000
   2    2        0.000000000       0.000000000       0.000000000
       -0.1359666602       -0.0918797906
"""


@pytest.fixture
def data() -> ScalingData:
    generator = np.random.default_rng(1)
    scalings = {element: Scaling.of(generator.random((20, count))) for element, count in COUNTS.items()}
    return ScalingData(scalings, (-3.25, -3.125), "0123456789abcdef" * 4)


def test_round_trip_is_exact(data: ScalingData, tmp_path: Path) -> None:
    write_scaling(tmp_path / "scaling.data", data)
    again = read_scaling(tmp_path / "scaling.data", COUNTS, sigma=True, fingerprint=data.fingerprint)
    assert again.energy_range == data.energy_range
    for element in COUNTS:
        for name in ("minimum", "maximum", "mean", "sigma"):
            np.testing.assert_array_equal(
                getattr(again.scalings[element], name), getattr(data.scalings[element], name)
            )


def test_written_for_n2p2(data: ScalingData, tmp_path: Path) -> None:
    """n2p2 skips # lines, wants six columns in sequence, and crashes at an empty line."""
    write_scaling(tmp_path / "scaling.data", data)
    lines = (tmp_path / "scaling.data").read_text().splitlines()
    assert all(line.strip() for line in lines)
    rows = [line.split() for line in lines if not line.startswith("#")]
    assert [row[:2] for row in rows[:-1]] == [["1", "1"], ["1", "2"], ["1", "3"], ["2", "1"], ["2", "2"]]
    assert {len(row) for row in rows[:-1]} == {6}
    assert len(rows[-1]) == 2


def test_five_columns_are_written_again_as_five(tmp_path: Path) -> None:
    """With use_old_scaling, RuNNer's file gets bnnp's header."""
    (tmp_path / "scaling.data").write_text(RUNNER)
    data = read_scaling(tmp_path / "scaling.data", COUNTS)
    write_scaling(tmp_path / "again", data)
    again = read_scaling(tmp_path / "again", COUNTS)
    assert np.isnan(again.scalings["Ge"].sigma).all()
    np.testing.assert_array_equal(again.scalings["Ge"].mean, data.scalings["Ge"].mean)


def test_runner_file_without_sigma(tmp_path: Path) -> None:
    (tmp_path / "scaling.data").write_text(RUNNER)
    data = read_scaling(tmp_path / "scaling.data", COUNTS)
    assert data.scalings["Ge"].maximum[1] == 18.248490734
    assert np.isnan(data.scalings["Te"].sigma).all()
    assert data.energy_range == (-0.1359666602, -0.0918797906)
    assert data.scalings["Te"].constant.tolist() == [False, True]


def test_sigma_scheme_needs_the_sixth_column(tmp_path: Path) -> None:
    (tmp_path / "scaling.data").write_text(RUNNER)
    with pytest.raises(InputError, match=r"scaling.data line 1: five columns.*sigma in the sixth"):
        read_scaling(tmp_path / "scaling.data", COUNTS, sigma=True)


@pytest.mark.parametrize("counts", [{"Ge": 2, "Te": 3}, {"Ge": 3, "Te": 1}, {"Ge": 3, "Te": 4}, {"Ge": 5}])
def test_other_network(tmp_path: Path, counts: dict[str, int]) -> None:
    (tmp_path / "scaling.data").write_text(RUNNER)
    with pytest.raises(StaleFileError, match="another network: input.nn has the functions Ge"):
        read_scaling(tmp_path / "scaling.data", counts)


def test_other_functions_of_the_same_number(data: ScalingData, tmp_path: Path) -> None:
    write_scaling(tmp_path / "scaling.data", data)
    with pytest.raises(StaleFileError, match="other elements, symmetry functions"):
        read_scaling(tmp_path / "scaling.data", COUNTS, fingerprint="f" * 64)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("25.254472038", "NaN", "line 1: .*finite"),
        ("18.248490734", "0.1", "line 2: .*not in this order"),
        ("0.150000000\n", "", "line 3: "),
        ("1.000000000", "1.0.0", "line 4: .*numbers only"),
    ],
)
def test_damaged_file_names_the_line(tmp_path: Path, old: str, new: str, text: str) -> None:
    (tmp_path / "scaling.data").write_text(RUNNER.replace(old, new))
    with pytest.raises(InputError, match=text):
        read_scaling(tmp_path / "scaling.data", COUNTS)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="scaling.data: no such file.*Run mode 2"):
        read_scaling(tmp_path / "scaling.data", COUNTS)


def test_files_of_n2p2_are_read(shared: Path) -> None:
    folder = shared / "reference"
    assert (
        len(read_scaling(folder / "water_28/scaling.data", {"H": 28, "O": 28}, sigma=True).scalings["O"])
        == 28
    )
    data = read_scaling(folder / "H2O_RPBE-D3/scaling.data", {"H": 27, "O": 30})
    assert (data.scalings["H"].sigma > 0).all()
