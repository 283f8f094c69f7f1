"""Errors a user can see.

One tree; :mod:`bnnp.cli` prints the message and exits with the code of the class::

    BnnpError                 1
    |-- InputError            1   a mistake in input.nn, input.data or on the command line
    |-- StaleFileError        1   a file that belongs to another input.nn, network or format version
    |-- OutputError           1   a file cannot be written: no permission, disk full
    |-- NumericalError        1   a value that is not finite, atoms that coincide
    |-- UncertaintyStop       3   the uncertainty passed its threshold, which ended the run
    `-- SignalStop      130, 143   a signal ended the run, after all that --restart needs was written

A message says what is wrong, where (file and line), what was got, what was expected and what to do
next, for example::

    input.nn line 41: the cutoff radius of `symfunction_short` is -6.0 bohr but must be positive
"""

from __future__ import annotations


class BnnpError(Exception):
    """Base class of the errors that a user can correct."""

    exit_code = 1


class InputError(BnnpError):
    """A mistake in input.nn, input.data, a potential file or an option."""


class StaleFileError(BnnpError):
    """A file made for other elements, symmetry functions, units, weights or by another version."""


class OutputError(BnnpError):
    """An output file cannot be written."""


class NumericalError(BnnpError):
    """A result that is not finite, or a structure for which no result exists."""


class UncertaintyStop(BnnpError):
    """The run was ended because the uncertainty passed its threshold."""

    exit_code = 3


class SignalStop(BnnpError):
    """A signal asked a training or molecular dynamics to end, and what ``--restart`` needs is written.

    Parameters
    ----------
    number : int
        Of the signal; the exit code is 128 more, as a shell has it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by signal {number}")
        self.exit_code = 128 + number
