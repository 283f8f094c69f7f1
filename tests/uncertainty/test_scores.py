"""Scores, reliability, ranking and detection against uncertainty-toolbox, scikit-learn, SciPy and closed
forms."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import uncertainty_toolbox as toolbox
from numpy.typing import NDArray
from scipy.stats import norm, spearmanr
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from bnnp.errors import NumericalError
from bnnp.uncertainty.detection import detected, roc_auc, roc_curve
from bnnp.uncertainty.ranking import RankedPairs, confidence_curve, spearman, spearman_ceiling
from bnnp.uncertainty.reliability import (
    calibration_curve,
    coverage,
    ence,
    miscalibration_area,
    reliability,
)
from bnnp.uncertainty.scores import crps, nll, sharpness, zms

Array = NDArray[np.float64]
Score = Callable[[Array, Array], float]


@pytest.fixture(params=[0.3, 1.0, 3.0], ids=["underconfident", "right", "overconfident"])
def case(request: pytest.FixtureRequest) -> tuple[Array, Array]:
    """Errors that are `param` times as large as sigma says."""
    generator = np.random.default_rng(7)
    sigma = np.exp(generator.normal(0.0, 0.7, 2_000))
    return request.param * generator.normal(0.0, sigma), sigma


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (nll, toolbox.nll_gaussian),
        (crps, toolbox.crps_gaussian),
        (miscalibration_area, toolbox.miscalibration_area),
    ],
)
def test_uncertainty_toolbox(case: tuple[Array, Array], own: Score, theirs: Callable[..., float]) -> None:
    errors, sigma = case
    assert own(errors, sigma) == pytest.approx(theirs(errors, sigma, np.zeros_like(errors)), rel=1e-10)


def test_sharpness_and_coverage_of_uncertainty_toolbox(case: tuple[Array, Array]) -> None:
    errors, sigma = case
    assert sharpness(sigma) == pytest.approx(toolbox.sharpness(sigma), rel=1e-12)
    for level in (0.5, 0.68, 0.9, 0.95):
        theirs = toolbox.get_proportion_in_interval(errors, sigma, np.zeros_like(errors), level)
        assert coverage(errors, sigma, level) == theirs
    expected, observed = toolbox.get_proportion_lists_vectorized(errors, sigma, np.zeros_like(errors))
    np.testing.assert_allclose(calibration_curve(errors, sigma), (expected, observed), atol=1e-12)


def test_crps_is_the_integral_of_its_definition() -> None:
    """CRPS = integral of (Phi(x / sigma) - [x > e])^2 dx (Gneiting and Raftery, eq. 20)."""
    x = np.linspace(-60.0, 60.0, 1_200_001)
    for error, sigma in ((0.7, 2.0), (-3.0, 0.5)):
        distance = norm.cdf(x / sigma) - (x > error)
        integral = np.trapezoid(np.square(distance), x)
        assert crps(np.array([error]), np.array([sigma])) == pytest.approx(integral, rel=1e-3)


def test_by_hand() -> None:
    errors, sigma = np.array([1.0, -2.0]), np.array([1.0, 4.0])
    assert zms(errors, sigma) == pytest.approx((1 + 0.25) / 2)
    assert sharpness(sigma) == pytest.approx(math.sqrt(17 / 2))
    # -ln of the normal density with sigma 1 at 1 and with sigma 4 at 2
    logs = [0.5 * math.log(2 * math.pi) + 0.5, 0.5 * math.log(2 * math.pi) + math.log(4) + 0.125]
    assert nll(errors, sigma) == pytest.approx(sum(logs) / 2)
    assert coverage(np.array([0.5, 1.5, -0.9, 2.0]), np.ones(4), 0.6827) == 0.5


def test_miscalibration_area_of_a_known_curve() -> None:
    """All errors are zero: the curve is 1 everywhere and the area 1/2; all are huge: it is 0."""
    assert miscalibration_area(np.zeros(50), np.ones(50)) == pytest.approx(0.5)
    last_step = 0.5 / 99 / 99  # level 1 holds everything
    assert miscalibration_area(np.full(50, 1e9), np.ones(50)) == pytest.approx(0.5, abs=0.5 / 99 + last_step)


def test_reliability_bins() -> None:
    """Two bins: sigma 1 with errors of 2, sigma 10 with errors of 5."""
    errors, sigma = np.array([5.0, -2.0, 2.0, -5.0]), np.array([10.0, 1.0, 1.0, 10.0])
    found = reliability(errors, sigma, bins=2)
    np.testing.assert_allclose(found.sigma, [1.0, 10.0])
    np.testing.assert_allclose(found.error, [2.0, 5.0])
    assert found.count.tolist() == [2, 2]
    assert found.ence == pytest.approx((1 / 1 + 5 / 10) / 2)
    assert ence(errors, sigma, bins=2) == found.ence
    assert len(reliability(errors, sigma, bins=10).sigma) == 4


def test_honest_sigmas() -> None:
    generator = np.random.default_rng(3)
    sigma = generator.uniform(0.1, 2.0, 40_000)
    errors = generator.normal(0.0, sigma)
    assert abs(zms(errors, sigma) - 1.0) < 4 * math.sqrt(2 / 40_000)  # variance of chi squared / n
    assert ence(errors, sigma) < 4 * math.sqrt(0.5 / 4_000)  # of a root mean square of 4000
    assert abs(coverage(errors, sigma, 0.9) - 0.9) < 4 * math.sqrt(0.09 / 40_000)
    assert miscalibration_area(errors, sigma) < 0.01
    ceiling = spearman_ceiling(sigma, generator)
    assert abs(spearman(sigma, errors) - ceiling) < 4 / math.sqrt(40_000)


def test_spearman() -> None:
    sigma = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(sigma, np.array([-0.1, 0.4, -0.9, 7.0])) == pytest.approx(1.0)  # any monotone relation
    assert spearman(sigma, np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx(-1.0)
    # 1 - 6 sum d^2 / (n (n^2 - 1)) with d = 1, 1, 0, 0
    assert spearman(sigma, np.array([2.0, 1.0, 3.0, 4.0])) == pytest.approx(0.8)
    # ties share their rank: ranks (1.5 1.5 3 4) against (1 2 3 4), Pearson by hand
    assert spearman(np.array([1.0, 1.0, 3.0, 4.0]), sigma) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert np.isnan(spearman(np.ones(4), sigma))
    one, two = np.random.default_rng(1).integers(1, 20, (2, 300)).astype(float)
    assert spearman(one, two) == pytest.approx(spearmanr(one, two).statistic)


def test_pairs_of_a_stream_are_thinned_evenly() -> None:
    """Of 1000 pairs at most 100 are kept, every 16th, whatever the pieces they come in."""
    generator = np.random.default_rng(5)
    sigma = generator.uniform(0.1, 2.0, 1000)
    errors = generator.normal(0.0, sigma)
    for sizes in ([1000], [1] * 1000, [7, 0, 93, 900]):
        pairs = RankedPairs(most=100)
        for first, size in zip(np.cumsum([0, *sizes]).tolist(), sizes, strict=False):
            pairs.add(np.array([errors, sigma])[:, first : first + size])
        found, ceiling = pairs.correlation(np.random.default_rng(1))
        assert found == pytest.approx(spearmanr(sigma[::16], np.abs(errors[::16])).statistic)
        assert ceiling == spearman_ceiling(sigma[::16], np.random.default_rng(1))
    whole = RankedPairs()
    whole.add(np.array([errors, sigma]))
    assert whole.correlation(generator)[0] == pytest.approx(spearmanr(sigma, np.abs(errors)).statistic)
    few = RankedPairs()
    few.add(np.array([errors, sigma])[:, :9])
    assert np.isnan(few.correlation(generator)).all()


def test_confidence_curve_by_taking_away_one_after_the_other() -> None:
    generator = np.random.default_rng(5)
    sigma = generator.uniform(0.1, 2.0, 60)
    errors = generator.normal(0.0, sigma)
    curve = confidence_curve(errors, sigma, points=60)
    for taken in (0, 1, 30, 59):
        left = np.argsort(-sigma)[taken:]
        best = np.argsort(-np.abs(errors))[taken:]
        rms = math.sqrt(np.mean(errors**2))
        assert curve.removed[taken] == pytest.approx(taken / 60)
        assert curve.error[taken] == pytest.approx(math.sqrt(np.mean(errors[left] ** 2)) / rms)
        assert curve.oracle[taken] == pytest.approx(math.sqrt(np.mean(errors[best] ** 2)) / rms)
    assert curve.ause > 0.0
    assert confidence_curve(errors, np.abs(errors) + 1e-9).ause == pytest.approx(0.0, abs=1e-12)
    two = confidence_curve(np.array([2.0, 1.0]), np.array([1.0, 2.0]))  # the wrong one first: 1/2 (2 - 1) / 2
    assert two.ause == pytest.approx(0.25 / math.sqrt(2.5))
    assert len(confidence_curve(errors[:7], sigma[:7]).removed) == 7


def test_roc_of_scikit_learn() -> None:
    generator = np.random.default_rng(2)
    inside = generator.normal(0.0, 1.0, 300).round(1)  # rounded: with ties
    outside = generator.normal(1.0, 1.0, 200).round(1)
    labels = np.r_[np.zeros(300), np.ones(200)]
    scores = np.r_[inside, outside]
    assert roc_auc(inside, outside) == pytest.approx(roc_auc_score(labels, scores), rel=1e-12)
    false, true, _ = sklearn_roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(roc_curve(inside, outside), (false, true), atol=1e-12)
    assert detected(inside, outside, 0.05) == pytest.approx(true[false <= 0.05].max())


def test_roc_limits() -> None:
    assert roc_auc(np.array([1.0, 2.0]), np.array([3.0, np.inf])) == 1.0
    assert roc_auc(np.ones(5), np.ones(7)) == 0.5
    assert roc_auc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 0.0
    assert detected(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1.0


@pytest.mark.parametrize(
    ("errors", "sigma", "message"),
    [
        ([], [], r"n > 0"),
        ([1.0], [1.0, 2.0], r"\(1,\) and \(2,\)"),
        ([np.nan, 1.0], [1.0, 1.0], "1 of 2 errors not finite"),
        ([1.0, 1.0], [0.0, 1.0], "1 of 2 standard deviations are not positive"),
        ([1.0, 1.0], [np.inf, np.nan], "2 of 2 standard deviations are not positive and finite"),
    ],
)
@pytest.mark.parametrize("score", [zms, nll, crps, ence, miscalibration_area])
def test_bad_values(score: Score, errors: list[float], sigma: list[float], message: str) -> None:
    with pytest.raises(NumericalError, match=message):
        score(np.array(errors), np.array(sigma))


def test_bad_scores_of_detection() -> None:
    with pytest.raises(NumericalError, match="inside the domain: 0"):
        roc_auc(np.zeros(0), np.ones(2))
    with pytest.raises(NumericalError, match="outside the domain: 1, 1 of them NaN"):
        roc_curve(np.ones(2), np.array([np.nan]))
