"""uncertainty.data: masks round trip, checksums, nesting, unknown sections, damage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnnp.errors import InputError, StaleFileError
from bnnp.io.uncertainty_data import UncertaintyData, read_uncertainty, write_uncertainty
from bnnp.io.weights import read_weights, write_weights
from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.network.initial import initial_network
from bnnp.network.masks import Masks

SHAPE = Architecture((4, 3), ("t", "t", "l"))
RATES = (0.0, 0.25, 0.5)


@pytest.fixture
def networks() -> dict[str, Network]:
    generator = np.random.default_rng(1)
    return {element: initial_network(SHAPE, 6, generator, "uniform") for element in ("Ge", "Te")}


@pytest.fixture
def data(networks: dict[str, Network]) -> UncertaintyData:
    masks = Masks.draw(5, 8, RATES, {element: network.sizes for element, network in networks.items()})
    return UncertaintyData.of(masks, networks)


def same(first: Masks, second: Masks) -> bool:
    return (first.seed, first.samples, first.rates) == (second.seed, second.samples, second.rates) and all(
        np.array_equal(a, b)
        for element in ("Ge", "Te")
        for a, b in zip(first.keep[element], second.keep[element], strict=True)
    )


def test_round_trip(data: UncertaintyData, networks: dict[str, Network], tmp_path: Path) -> None:
    write_uncertainty(tmp_path / "u", data)
    again = read_uncertainty(tmp_path / "u", networks)
    assert same(again.masks, data.masks)
    assert again.weights == data.weights
    assert again.generator == data.generator


def centered(data: UncertaintyData) -> UncertaintyData:
    """With means of the nodes: 0.5, 1.5, ... of layer 1, and others."""
    means = {
        element: tuple(layer + 0.5 * np.arange(1, n.shape[1] + 1) for layer, n in enumerate(layers))
        for element, layers in data.masks.keep.items()
    }
    return replace(data, masks=data.masks.with_means(means))


def test_means_of_the_nodes(data: UncertaintyData, networks: dict[str, Network], tmp_path: Path) -> None:
    kept = centered(data)
    write_uncertainty(tmp_path / "u", kept)
    again = read_uncertainty(tmp_path / "u", networks)
    assert same(again.masks, data.masks)
    assert again.masks.centered
    for element in ("Ge", "Te"):
        np.testing.assert_array_equal(again.masks.means[element][1], kept.masks.means[element][1])
        np.testing.assert_array_equal(again.masks.means[element][2], kept.masks.means[element][2])
        assert again.take(20).masks.means[element] is again.masks.means[element]
    text = (tmp_path / "u").read_text()
    assert "\nformat 2\n" in text
    assert "\nmean Te 1 1.5 2.0 2.5 " in text


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("mean Te 1 ", "# ", "means of Te, layer 1 are missing"),
        ("mean Te 1 1.5 ", "mean Te 1 ", "means of Te, layer 1 are"),
        ("mean Te 1 1.5 ", "mean Te 1 nan ", "not all finite"),
        ("mean Te 1 1.5 ", "mean Te 0 1.5 ", "means of Te, layer 1 are missing"),
        ("mean Te 2 ", "mean Te 1 ", "expected a line"),
        ("mean Te 1 1.5 ", "mean Te 1 one ", "expected a line"),
        ("format 2", "format 1", "expected a line"),
    ],
)
def test_damaged_means(data: UncertaintyData, tmp_path: Path, old: str, new: str, text: str) -> None:
    write_uncertainty(tmp_path / "u", centered(data))
    whole = (tmp_path / "u").read_text()
    assert old in whole
    (tmp_path / "u").write_text(whole.replace(old, new))
    with pytest.raises(InputError, match=text):
        read_uncertainty(tmp_path / "u")


def test_a_mask_is_readable(data: UncertaintyData, tmp_path: Path) -> None:
    write_uncertainty(tmp_path / "u", data)
    digits = "".join("1" if kept else "0" for kept in data.masks.keep["Te"][1][2])
    assert f"\nmask Te 1 3 {digits}\n" in (tmp_path / "u").read_text()


def test_rewritten_weights_are_the_same_weights(
    data: UncertaintyData, networks: dict[str, Network], tmp_path: Path
) -> None:
    write_uncertainty(tmp_path / "u", data)
    write_weights(tmp_path / "w", networks["Ge"], "Ge")
    text = (tmp_path / "w").read_text()
    (tmp_path / "w").write_text("# another header\n" + text.replace(" a ", "  a  "))
    read_uncertainty(tmp_path / "u", {"Ge": read_weights(tmp_path / "w", "Ge", SHAPE, 6)})


def test_other_weights(data: UncertaintyData, networks: dict[str, Network], tmp_path: Path) -> None:
    write_uncertainty(tmp_path / "u", data)
    values = networks["Te"].flat()
    values[0] += 1e-12
    with pytest.raises(StaleFileError, match=r"other weights of Te than those in weights.052.data"):
        read_uncertainty(tmp_path / "u", {**networks, "Te": Network.from_flat(values, SHAPE, 6)})


def test_other_network(data: UncertaintyData, tmp_path: Path) -> None:
    write_uncertainty(tmp_path / "u", data)
    other = initial_network(Architecture((4, 4), SHAPE.activations), 6, np.random.default_rng(1))
    with pytest.raises(StaleFileError, match="6-4-3 nodes, but the network has 6-4-4"):
        read_uncertainty(tmp_path / "u", {"Ge": other})
    with pytest.raises(StaleFileError, match="no masks for Se"):
        read_uncertainty(tmp_path / "u", {"Se": other})


def test_nested_samples(data: UncertaintyData) -> None:
    fewer, more = data.take(3), data.take(20)
    assert fewer.masks.samples == 3
    assert same(more.take(8).masks, data.masks)


def test_more_samples_need_masks_of_the_seed(data: UncertaintyData) -> None:
    foreign = replace(data, generator="dice")
    assert foreign.take(8) is not None
    with pytest.raises(StaleFileError, match="mc_samples 8 or less"):
        foreign.take(9)
    edited = replace(data, masks=replace(data.masks, seed=6))
    with pytest.raises(StaleFileError, match="seed 6"):
        edited.take(9)


def test_other_sections_are_kept(data: UncertaintyData, tmp_path: Path) -> None:
    lines = ("# fitted on 40 structures", "energy isotonic 0.1 0.2")
    write_uncertainty(tmp_path / "u", replace(data, sections={"calibration": lines, "future": ()}))
    again = read_uncertainty(tmp_path / "u")
    assert again.sections == {"calibration": lines, "future": ()}
    assert same(again.masks, data.masks)


def test_later_format(data: UncertaintyData, tmp_path: Path) -> None:
    write_uncertainty(tmp_path / "u", data)
    (tmp_path / "u").write_text((tmp_path / "u").read_text().replace("format 1", "format 3"))
    with pytest.raises(StaleFileError, match="format 3, but this bnnp knows 1 and 2"):
        read_uncertainty(tmp_path / "u")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("seed 5\n", "", "seed missing"),
        ("seed 5\n", "seed five\n", "seed, samples or rates"),
        ("samples 8\n", "samples 9\n", "sample 9 is missing"),
        ("samples 8\n", "samples 7\n", "sample 8 has no place"),
        ("samples 8\n", "samples 8\nsamples 8\n", "line .*samples 8"),
        ("mask Te 2 8", "mask Te 2 7", "each mask once"),
        ("mask Te 2 8 ", "mask Te 2 8 1", "has 4 digits, expected 3"),
        ("mask Te 2 8 ", "mask Te 2 8 2", "line "),
        ("rates 0.0 0.25 0.5", "rates 0.0 0.25", "expected at least 1 sample and 3 rates"),
        ("rates 0.0 0.25 0.5", "rates 0.0 0.25 1.5", "each 0 <= rate < 1"),
        ("nodes Ge 6 4 3\n", "", "nodes and weights"),
        ("format 1\n", "", "expected `format 1`"),
        ("[masks]", "[masks", "section heading"),
    ],
)
def test_damage(data: UncertaintyData, tmp_path: Path, old: str, new: str, text: str) -> None:
    write_uncertainty(tmp_path / "u", data)
    whole = (tmp_path / "u").read_text()
    assert old in whole
    (tmp_path / "u").write_text(whole.replace(old, new))
    with pytest.raises(InputError, match=text):
        read_uncertainty(tmp_path / "u")
