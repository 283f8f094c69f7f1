"""Dropout masks: statistics, nesting, seeds, independence of everything that must not matter."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.network.masks import Masks, TrainingMasks

SIZES = {"Ge": (60, 15, 15), "Te": (55, 15, 15)}
RATES = (0.0, 0.1, 0.25)


def test_rate_is_the_probability_to_drop() -> None:
    masks = Masks.draw(3, 2000, RATES, SIZES)
    for layer, rate in enumerate(RATES):
        kept = masks.keep["Ge"][layer]
        error = np.sqrt(rate * (1 - rate) / kept.size)
        assert abs(1 - kept.mean() - rate) <= 4 * error


def test_units_samples_layers_and_elements_are_independent() -> None:
    masks = Masks.draw(3, 4000, (0.0, 0.3, 0.3), {"Ge": (4, 15, 15), "Te": (4, 15, 15)})
    columns = np.hstack([masks.keep[element][layer] for element in SIZES for layer in (1, 2)])
    correlation = np.corrcoef(columns.T) - np.eye(60)
    assert np.abs(correlation).max() < 5.5 / np.sqrt(
        4000
    )  # 1770 pairs: 4 sigma is passed by chance, 5.5 is not
    lagged = np.corrcoef(columns[:-1].ravel(), columns[1:].ravel())[0, 1]
    assert abs(lagged) < 4 / np.sqrt(columns.size)


def test_scaled_masks_have_mean_one() -> None:
    masks = Masks.draw(3, 2000, RATES, SIZES)
    for layer, rate in zip(masks.scaled("Te"), RATES, strict=True):
        assert set(np.unique(layer)) <= {0.0, 1.0 / (1.0 - rate)}
        assert abs(layer.mean() - 1) <= 4 * np.sqrt(rate / (1 - rate) / layer.size)


@pytest.mark.parametrize("count", [1, 7, 20])
def test_samples_are_nested(count: int) -> None:
    long, short = Masks.draw(3, 20, RATES, SIZES), Masks.draw(3, count, RATES, SIZES)
    for element in SIZES:
        for a, b, c in zip(
            long.keep[element], short.keep[element], long.take(count).keep[element], strict=True
        ):
            np.testing.assert_array_equal(a[:count], b)
            np.testing.assert_array_equal(b, c)


def test_more_samples_than_there_are_come_from_the_seed() -> None:
    grown, whole = Masks.draw(3, 5, RATES, SIZES).take(20), Masks.draw(3, 20, RATES, SIZES)
    np.testing.assert_array_equal(grown.keep["Te"][2], whole.keep["Te"][2])


def test_an_element_does_not_depend_on_the_others() -> None:
    alone = Masks.draw(3, 5, RATES, {"Te": SIZES["Te"]})
    np.testing.assert_array_equal(alone.keep["Te"][1], Masks.draw(3, 5, RATES, SIZES).keep["Te"][1])


def test_seeds_reproduce_and_differ() -> None:
    first, again, other = (Masks.draw(seed, 50, RATES, SIZES).keep["Ge"][1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert Masks.draw(-1, 2, RATES, SIZES).samples == 2  # any whole number is a seed


def test_a_smaller_rate_keeps_what_a_larger_one_keeps() -> None:
    """The same uniform numbers are compared with the rate: spread shrinks without noise as the rate does."""
    small, large = (Masks.draw(3, 50, (0.0, rate, rate), SIZES).keep["Ge"][1] for rate in (0.05, 0.3))
    assert (small | ~large).all()


def test_all_units_may_be_dropped() -> None:
    masks = Masks.draw(3, 200, (0.0, 0.9), {"Ge": (4, 2)})
    assert (~masks.keep["Ge"][1]).all(axis=1).any()


@pytest.mark.parametrize(
    ("samples", "rates", "text"),
    [
        (0, RATES, "at least 1"),
        (3, (0.0, 0.1, 1.0), "DROP"),
        (3, (0.0, -0.1, 0.1), "DROP"),
        (3, (0.1,), "expected 3"),
    ],
)
def test_mistakes_are_named(samples: int, rates: tuple[float, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Masks.draw(3, samples, rates, SIZES)


class TestTrainingMasks:
    def test_batches_and_order_do_not_matter(self) -> None:
        whole = TrainingMasks(3, RATES).draw("Ge", SIZES["Ge"], 7, range(10))
        part = TrainingMasks(3, RATES).draw("Ge", SIZES["Ge"], 7, [8, 2])
        assert whole[0] is None  # inputs are kept
        for layer in (1, 2):
            np.testing.assert_array_equal(part[layer], whole[layer][[8, 2]])

    def test_structures_epochs_elements_and_seeds_differ(self) -> None:
        reference = TrainingMasks(3, RATES).draw("Ge", SIZES["Ge"], 7, range(40))[1]
        assert len(np.unique(reference, axis=0)) > 20  # of 40 structures
        for seed, epoch, element in ((4, 7, "Ge"), (3, 8, "Ge"), (3, 7, "Te")):
            other = TrainingMasks(seed, RATES).draw(element, SIZES["Ge"], epoch, range(40))[1]
            assert (other != reference).any()

    def test_rate(self) -> None:
        masks = TrainingMasks(3, RATES).draw("Ge", SIZES["Ge"], 1, range(2000))
        for mask, rate in zip(masks[1:], RATES[1:], strict=True):
            dropped = (mask == 0.0).mean()
            assert abs(dropped - rate) < 4 * np.sqrt(rate * (1 - rate) / mask.size)
            assert mask.max() == 1 / (1 - rate)

    def test_without_dropout_there_are_none(self) -> None:
        assert TrainingMasks(3, (0.0, 0.0)).draw("Ge", (4, 3), 1, range(5)) == (None, None)
