"""weights.XXX.data: exact round trip, all layouts, every mistake with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnnp.errors import InputError, NumericalError, OutputError
from bnnp.io.weights import optweights_name, read_weights, weights_checksum, weights_name, write_weights
from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.network.initial import initial_network

SHAPE = Architecture((3, 2), ("t", "t", "l"))


@pytest.fixture
def network() -> Network:
    return initial_network(SHAPE, 4, np.random.default_rng(1), "uniform")


def test_names() -> None:
    assert weights_name("H") == "weights.001.data"
    assert optweights_name("Te") == "optweights.052.out"


def test_round_trip_is_exact(network: Network, tmp_path: Path) -> None:
    write_weights(tmp_path / "w", network, "Ge")
    again = read_weights(tmp_path / "w", "Ge", SHAPE, 4)
    np.testing.assert_array_equal(again.flat(), network.flat())
    assert weights_checksum(again) == weights_checksum(network)
    assert again.activations == SHAPE.activations


def test_order_and_columns_are_those_of_n2p2(network: Network, tmp_path: Path) -> None:
    write_weights(tmp_path / "w", network, "Ge")
    lines = [line.split() for line in (tmp_path / "w").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == SHAPE.n_weights(4)
    assert lines[1][1:] == [
        "a",
        "2",
        "0",
        "1",
        "1",
        "2",
    ]  # second weight: node 1 of the inputs to node 2 of layer 1
    assert float(lines[1][0]) == network.weights[0][0, 1]
    assert lines[12][1:] == ["b", "13", "1", "1"]  # the counter goes on with the biases
    assert float(lines[12][0]) == network.biases[0][0]
    assert lines[-1][1:] == ["b", "26", "3", "1"]


def test_runner_layout_has_no_header_and_ten_decimals(network: Network, tmp_path: Path) -> None:
    write_weights(tmp_path / "w", network, "Ge", layout="runner")
    first = (tmp_path / "w").read_text().splitlines()[0]
    assert first == f"{network.weights[0][0, 0]:18.10f} a         1     0     1     1     1"
    again = read_weights(tmp_path / "w", "Ge", SHAPE, 4)
    np.testing.assert_allclose(again.flat(), network.flat(), atol=5.1e-11)


def test_values_only_and_fortran_exponents(tmp_path: Path) -> None:
    values = np.arange(26) / 8
    text = "".join(f"  {value:.10E}\n".replace("E", "D") for value in values)
    (tmp_path / "w").write_text(text + "\n\n")
    np.testing.assert_array_equal(read_weights(tmp_path / "w", "Ge", SHAPE, 4).flat(), values)


def test_checksum_feels_the_last_bit(network: Network) -> None:
    values = network.flat()
    values[7] = np.nextafter(values[7], 2.0)
    assert weights_checksum(Network.from_flat(values, SHAPE, 4)) != weights_checksum(network)


def test_missing_file_names_element_and_next_step(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights.032.data: no such file.*network of Ge.*run mode 2"):
        read_weights(tmp_path / "weights.032.data", "Ge", SHAPE, 4)
    (tmp_path / "optweights.032.out").write_text("")
    with pytest.raises(InputError, match=r"copy it to weights.032.data"):
        read_weights(tmp_path / "weights.032.data", "Ge", SHAPE, 4)


def test_a_binary_file_is_named_with_what_it_should_be(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "weights.032.data"
    path.write_bytes(b"0.5\n\x80\x02]q")
    with pytest.raises(InputError, match="is no text .byte 5 is .*expected the weights and biases of Ge"):
        read_weights(path, "Ge", network.architecture, network.n_inputs)


def test_truncated_file_names_the_expected_network(network: Network, tmp_path: Path) -> None:
    write_weights(tmp_path / "w", network, "Ge")
    lines = (tmp_path / "w").read_text().splitlines(keepends=True)
    (tmp_path / "w").write_text("".join(lines[:-3]))
    with pytest.raises(InputError, match=r"23 weights.*4-3-2-1 \(t t l\).*has 26"):
        read_weights(tmp_path / "w", "Ge", SHAPE, 4)


@pytest.mark.parametrize(
    ("word", "text"), [("NaN", "finite"), ("Infinity", "finite"), ("*****", "not a number")]
)
def test_bad_values_name_the_line(network: Network, tmp_path: Path, word: str, text: str) -> None:
    write_weights(tmp_path / "w", network, "Ge", layout="runner")
    lines = (tmp_path / "w").read_text().splitlines()
    lines[4] = word
    (tmp_path / "w").write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"w line 5: .*{text}"):
        read_weights(tmp_path / "w", "Ge", SHAPE, 4)


def test_unwritable_directory(network: Network, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_weights(tmp_path / "nowhere" / "w", network, "Ge")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_not_written(network: Network, tmp_path: Path, value: float) -> None:
    (tmp_path / "w").write_text("former\n")
    values = network.flat()
    values[5] = value
    with pytest.raises(NumericalError, match="weights.032.data: 1 of 26 .* not finite"):
        write_weights(tmp_path / "w", Network.from_flat(values, SHAPE, 4), "Ge")
    assert (tmp_path / "w").read_text() == "former\n"


def test_potentials_of_other_programs_are_read(shared: Path) -> None:
    """28-25-25-1 written by n2p2 without a header, 30-25-25-1 and 27-25-25-1 with one."""
    shape = Architecture((25, 25), ("t", "t", "l"))
    for folder, element, count in (("water_28", "H", 28), ("H2O_RPBE-D3", "O", 30), ("H2O_RPBE-D3", "H", 27)):
        network = read_weights(shared / "reference" / folder / weights_name(element), element, shape, count)
        assert network.sizes == (count, 25, 25)
