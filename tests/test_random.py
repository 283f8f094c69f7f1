"""Random streams: the published generator, and counters that do not overlap."""

from __future__ import annotations

import numpy as np

from bnnp.random import SAMPLES, TRAINING, stream

WORD = 2**64


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox 4x64, 10 rounds, as printed by Salmon et al. (SC '11), section 3.3 and their constants."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * a, WORD)
        high1, low1 = divmod(0xCA5A826395121157 * c, WORD)
        a, b, c, d = high1 ^ b ^ k0, low1, high0 ^ d ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) % WORD, (k1 + 0xBB67AE8584CAA73B) % WORD
    return [a, b, c, d]


def test_reference_is_the_published_generator() -> None:
    """Known answer of the Random123 distribution for counter and key 0."""
    assert philox([0] * 4, [0] * 2) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]


def test_stream_is_philox_of_seed_purpose_and_counters() -> None:
    """The masks of a seed must be the same with any version of numpy: 53 bits of each word, blocks counted
    from 1."""
    words = philox([1, 2, 7, 32], [5, SAMPLES]) + philox([2, 2, 7, 32], [5, SAMPLES])
    expected = [(word >> 11) * 2.0**-53 for word in words]
    np.testing.assert_array_equal(stream(5, SAMPLES, 2, 7, 32).random(8), expected)


def test_streams_differ_in_every_argument() -> None:
    base = (5, SAMPLES, 2, 7, 32)
    others = [(6, SAMPLES, 2, 7, 32), (5, TRAINING, 2, 7, 32), (5, SAMPLES, 3, 7, 32), (5, SAMPLES, 2, 8, 32)]
    others += [(5, SAMPLES, 2, 7, 52), (5, SAMPLES, 7, 2, 32)]
    first = stream(*base).random(1000)
    for other in others:
        assert abs(np.corrcoef(first, stream(*other).random(1000))[0, 1]) < 5 / np.sqrt(1000)


def test_negative_and_huge_seeds() -> None:
    assert stream(-1, SAMPLES).random() == stream(WORD - 1, SAMPLES).random()
