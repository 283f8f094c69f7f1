"""Random streams: independent numbers for every purpose from one seed.

Philox 4x64 (J. K. Salmon et al., SC '11, 10.1145/2063384.2063405) turns a key and a counter into random
numbers without a state to pass on: the key is (random_seed, purpose), the counter identifies what is drawn.
The mask of sample 7 is the same for 10 or 100 samples, on 1 or 4 ranks, in the first run or after a restart.
"""

from __future__ import annotations

import numpy as np

GENERATOR = "Philox4x64-10 numpy"

SAMPLES = 1  # frozen masks of Monte Carlo samples
TRAINING = 2  # masks of training structures
WEIGHTS = 3  # initial weights
SHUFFLE = 4  # order of structures in an epoch
SPLIT = 5  # training and test set
RESAMPLE = 6  # masks redrawn at every evaluation
DYNAMICS = 7  # velocities and thermostats
SUBSET = 8  # which frozen masks a structure has in an epoch of fine-tuning
BOOTSTRAP = 9  # training set of a member of an ensemble
OBSERVATIONS = 10  # what a Kalman filter takes up in an epoch
CALIBRATION = 11  # calibration set
CHARGE_WEIGHTS = 12  # initial weights of electronegativity networks
CEILING = 13  # errors with exactly the predicted standard deviations

_WORD = 2**64


def stream(seed: int, purpose: int, a: int = 0, b: int = 0, c: int = 0) -> np.random.Generator:
    """Generator of the numbers that belong to (seed, purpose, a, b, c).

    Parameters
    ----------
    seed : int
        ``random_seed``; taken modulo 2^64.
    purpose : int
        One of the constants of this module.
    a, b, c : int
        What is drawn, for example layer, sample and atomic number; not negative.
    """
    key = np.array([seed % _WORD, purpose], dtype=np.uint64)
    counter = np.array([0, a, b, c], dtype=np.uint64)  # the first word counts the numbers within the stream
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
