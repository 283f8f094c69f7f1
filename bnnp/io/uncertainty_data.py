"""uncertainty.data: dropout masks, training statistics and calibration of a potential.

With them its uncertainty is reproducible. Plain text; ``#`` begins a comment, blank lines are skipped,
sections begin with ``[name]``::

    format 1
    [masks]
    generator Philox4x64-10 numpy     random number generator of the masks
    seed 1                            random_seed
    samples 100                       Monte Carlo samples S
    rates 0 0.1 0.1                   DROP probability of the inputs and each hidden layer
    nodes Ge 60 15 15                 an element: its inputs and hidden nodes
    weights Ge 9f86d081...            sha256 of the float64 values of weights.032.data
    mask Ge 1 1 111011111111101       element, layer (0 = inputs), sample (from 1), a digit per node, 1 = kept

Format 2 has centered masks (``mc_dropout after``, :mod:`bnnp.network.masks`) and the means of the nodes::

    mean Ge 1 0.43 1.27 ...           element, layer, mean of each node over the training atoms

A layer with rate 0 keeps all nodes and has no lines `mask` and `mean`. The sections [domain]
(:mod:`bnnp.io.statistics_section`) and [calibration] (:mod:`bnnp.io.calibration_section`) may follow. Unknown
sections are kept as lines: later versions may add some without a new format number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

import numpy as np
from ase.data import atomic_numbers

from bnnp.errors import InputError, StaleFileError
from bnnp.io.calibration_section import SECTION as CALIBRATION
from bnnp.io.calibration_section import CalibrationData, format_calibration, parse_calibration
from bnnp.io.output import replace_file
from bnnp.io.statistics_section import SECTION as DOMAIN
from bnnp.io.statistics_section import format_statistics, parse_statistics
from bnnp.io.text import exact, read_lines
from bnnp.io.weights import weights_checksum, weights_name
from bnnp.messages import count
from bnnp.network.dense import Array, Network
from bnnp.network.masks import Keep, Masks
from bnnp.random import GENERATOR
from bnnp.uncertainty.training_statistics import TrainingStatistics

FORMATS = (1, 2)
FILE_NAME = "uncertainty.data"
_NO_SECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class UncertaintyData:
    """Contents of uncertainty.data.

    Parameters
    ----------
    masks : Masks
        The frozen masks.
    weights : mapping of str to str
        Checksum of the weights of each element (:func:`bnnp.io.weights.weights_checksum`).
    generator : str
        Random number generator of the masks.
    sections : mapping of str to tuple of str
        Lines of all other sections by name, in the order of the file.
    """

    masks: Masks
    weights: Mapping[str, str]
    generator: str = GENERATOR
    sections: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_SECTIONS)

    @classmethod
    def of(cls, masks: Masks, networks: Mapping[str, Network]) -> UncertaintyData:
        """`masks` with the checksums of the `networks` they belong to, without other sections."""
        return cls(masks, {element: weights_checksum(network) for element, network in networks.items()})

    @cached_property
    def statistics(self) -> dict[str, TrainingStatistics] | None:
        """Statistics of the training atoms by element; None without the section [domain]."""
        if DOMAIN not in self.sections:
            return None
        sizes = {x: (layers[0].shape[1], layers[-1].shape[1]) for x, layers in self.masks.keep.items()}
        return parse_statistics(self.sections[DOMAIN], sizes)

    @cached_property
    def calibration(self) -> CalibrationData | None:
        """The calibrations; None without the section [calibration]."""
        lines = self.sections.get(CALIBRATION)
        return None if lines is None else parse_calibration(lines)

    def with_statistics(self, statistics: Mapping[str, TrainingStatistics]) -> UncertaintyData:
        """A copy with these statistics instead of former ones."""
        return self._with_section(DOMAIN, format_statistics(statistics))

    def with_calibration(self, calibration: CalibrationData) -> UncertaintyData:
        """A copy with these calibrations instead of former ones."""
        return self._with_section(CALIBRATION, format_calibration(calibration))

    def _with_section(self, name: str, lines: tuple[str, ...]) -> UncertaintyData:
        """A copy with this section at the end; a former one of this name is removed."""
        others = {other: text for other, text in self.sections.items() if other != name}
        return replace(self, sections={**others, name: lines})

    def take(self, samples: int) -> UncertaintyData:
        """A copy with the first `samples` masks; those beyond the masks of the file are drawn from its seed.

        Raises
        ------
        StaleFileError
            More are wanted, but the masks of the file do not follow from its seed and this generator.
        """
        masks = self.masks.take(samples)
        if samples > self.masks.samples and not self._reproduced(masks):
            raise StaleFileError(
                f"{FILE_NAME}: {count(samples, 'sample')} wanted, but it holds {self.masks.samples} and "
                f"they were not drawn by `{GENERATOR}` from seed {self.masks.seed}. Set mc_samples "
                f"{self.masks.samples} or less."
            )
        return replace(self, masks=masks)

    def _reproduced(self, masks: Masks) -> bool:
        """Whether `masks`, drawn from the seed, begin with the masks of the file."""
        again = masks.take(self.masks.samples)
        return self.generator == GENERATOR and all(
            np.array_equal(new, old)
            for element, layers in self.masks.keep.items()
            for new, old in zip(again.keep[element], layers, strict=True)
        )


def write_uncertainty(path: str | Path, data: UncertaintyData, identity: str = "") -> None:
    """Write uncertainty.data with the line ``# potential`` (`identity`, see :mod:`bnnp.io.checksums`)."""
    masks = data.masks
    with replace_file(path) as file:
        file.write("# Monte Carlo dropout of this potential: belongs to the weights files beside it.\n")
        file.write(identity)
        file.write(
            "# mask: element, layer (0 = inputs), sample, one digit a unit (1 = kept, shared by all atoms)\n"
        )
        file.write(
            f"format {2 if masks.means else 1}\n[masks]\ngenerator {data.generator}\nseed {masks.seed}\n"
        )
        file.write(f"samples {masks.samples}\nrates {exact(masks.rates)}\n")
        for element, layers in masks.keep.items():
            file.write(f"nodes {element} {' '.join(str(layer.shape[1]) for layer in layers)}\n")
            file.write(f"weights {element} {data.weights[element]}\n")
        for element, layers in masks.keep.items():
            for number, (layer, rate) in enumerate(zip(layers, masks.rates, strict=False)):
                if masks.means and rate > 0.0:
                    file.write(f"mean {element} {number} {exact(masks.means[element][number])}\n")
                for sample, keep in enumerate(layer if rate > 0.0 else (), start=1):
                    digits = "".join("01"[kept] for kept in keep.astype(int))
                    file.write(f"mask {element} {number} {sample} {digits}\n")
        for name, lines in data.sections.items():
            file.write(f"[{name}]\n" + "".join(f"{line}\n" for line in lines))


def read_uncertainty(
    path: str | Path, networks: Mapping[str, Network] | None = None, kind: str = "weights"
) -> UncertaintyData:
    """Read uncertainty.data.

    Parameters
    ----------
    networks : mapping of str to Network, optional
        The networks of the weights files in the same directory, whose checksums are compared.
    kind : str
        Of these files, as in :func:`bnnp.io.weights.weights_name`.

    Raises
    ------
    InputError
        Not in the format above, or incomplete.
    StaleFileError
        Of a later format, or masks of other weights.
    """
    data = _Reader(Path(path)).read()
    if networks is not None:
        check_weights(Path(path), data, networks, kind)
    return data


def check_weights(
    path: Path, data: UncertaintyData, networks: Mapping[str, Network], kind: str = "weights"
) -> None:
    """Raise StaleFileError unless the masks belong to these `networks`."""
    for element, network in networks.items():
        layers = data.masks.keep.get(element)
        if layers is None:
            raise StaleFileError(f"{path.name}: no masks for {element}. {_AGAIN}")
        nodes = tuple(layer.shape[1] for layer in layers)
        if nodes != network.sizes:
            raise StaleFileError(
                f"{path.name}: masks of {element} for {'-'.join(map(str, nodes))} nodes, but the network has "
                f"{'-'.join(map(str, network.sizes))}. {_AGAIN}"
            )
        if data.weights[element] != weights_checksum(network):
            raise StaleFileError(
                f"{path.name}: made for other weights of {element} than those in "
                f"{weights_name(element, kind)}. {_AGAIN}"
            )


_AGAIN = (
    "Bring the file that was made with these weights, or remove it to predict without uncertainty, "
    "or run mode 2 again."
)


class _Reader:
    """Reads the file line by line and reports mistakes with the line."""

    def __init__(self, path: Path) -> None:
        self.path, self.line, self.text = path, 0, ""
        self.version = 0
        self.single: dict[str, list[str]] = {}
        self.nodes: dict[str, tuple[int, ...]] = {}
        self.weights: dict[str, str] = {}
        self.masks: dict[tuple[str, int, int], Keep] = {}
        self.means: dict[tuple[str, int], Array] = {}
        self.sections: dict[str, list[str]] = {}

    def fail(self, expected: str) -> NoReturn:
        raise InputError(f"{self.path.name} line {self.line}: `{self.text[:60]}`, expected {expected}")

    def read(self) -> UncertaintyData:
        lines = read_lines(self.path, "masks and calibration in sections")
        section = ""
        for self.line, raw in enumerate(lines, start=1):
            self.text = raw.split("#")[0].strip()
            if self.text.startswith("["):
                section = self._heading()
            elif self.text and not section:
                self._format()
            elif self.text and section == "masks":
                self._mask_line(*self.text.split())
            elif section not in ("", "masks"):
                self.sections[section].append(raw)
        return self._result()

    def _heading(self) -> str:
        name = self.text.strip("[]").strip()
        if not self.version:
            self.fail("`format 1` or `format 2` before the first section")
        if (
            not self.text.endswith("]")
            or not name
            or name in self.sections
            or (name == "masks" and self.single)
        ):
            self.fail("a section heading `[name]`, each name once")
        if name != "masks":
            self.sections[name] = []
        return name

    def _format(self) -> None:
        words = self.text.split()
        if len(words) != 2 or words[0] != "format" or not words[1].isdigit():
            self.fail("`format 1` or `format 2`")
        self.version = int(words[1])
        if self.version not in FORMATS:
            raise StaleFileError(
                f"{self.path.name} line {self.line}: format {self.version}, but this bnnp knows 1 and 2. "
                "Use the bnnp that wrote it, or run mode 2 again."
            )

    def _mask_line(self, name: str, *words: str) -> None:
        """Store one line of the section [masks]."""
        try:
            self._store(name, list(words))
        except (ValueError, IndexError):
            self.fail("a line as the head of the file and README describe")

    def _store(self, name: str, words: list[str]) -> None:
        if name in ("generator", "seed", "samples", "rates") and name not in self.single and words:
            self.single[name] = words
        elif name == "nodes" and words[0] not in self.nodes and words[0] in atomic_numbers and len(words) > 1:
            self.nodes[words[0]] = tuple(map(int, words[1:]))
        elif name == "weights" and words[0] not in self.weights and len(words) == 2:
            self.weights[words[0]] = words[1]
        elif name == "mask" and len(words) == 4 and set(words[3]) <= {"0", "1"}:
            key = (words[0], int(words[1]), int(words[2]))
            if key in self.masks:
                self.fail("each mask once")
            self.masks[key] = np.array([digit == "1" for digit in words[3]])
        elif name == "mean" and self.version == 2 and (words[0], int(words[1])) not in self.means:
            self.means[words[0], int(words[1])] = np.array([float(word) for word in words[2:]])
        else:
            raise ValueError(name)

    def _result(self) -> UncertaintyData:
        missing = [name for name in ("generator", "seed", "samples", "rates") if name not in self.single]
        if missing or not self.nodes or set(self.nodes) != set(self.weights):
            what = ", ".join(missing) or "nodes and weights of each element"
            raise InputError(f"{self.path.name}: cut short, {what} missing in [masks]. {_AGAIN}")
        try:
            seed, samples = int(self.single["seed"][0]), int(self.single["samples"][0])
            rates = tuple(float(word) for word in self.single["rates"])
        except ValueError as error:
            raise InputError(f"{self.path.name}: seed, samples or rates in [masks]: {error}") from None
        self._check(samples, rates)
        keep = {
            element: self._layers(element, nodes, samples, rates) for element, nodes in self.nodes.items()
        }
        if self.masks:
            element, layer, sample = next(iter(self.masks))
            raise InputError(
                f"{self.path.name}: mask of {element}, layer {layer}, sample {sample} has no place in "
                f"{count(samples, 'sample')} and the nodes and rates of [masks]"
            )
        sections = {name: tuple(lines) for name, lines in self.sections.items()}
        generator = " ".join(self.single["generator"])
        masks = Masks(seed, samples, rates, keep)
        if self.version == 2:
            masks = masks.with_means(self._means(rates))
        return UncertaintyData(masks, self.weights, generator, sections)

    def _check(self, samples: int, rates: tuple[float, ...]) -> None:
        """Raise InputError for numbers of samples and rates that cannot be."""
        layers = max(map(len, self.nodes.values()))
        if samples < 1 or len(rates) < layers or not all(0.0 <= rate < 1.0 for rate in rates):
            raise InputError(
                f"{self.path.name}: samples {samples}, rates {rates} in [masks], expected at least 1 sample "
                f"and {layers} rates, each 0 <= rate < 1"
            )

    def _layers(
        self, element: str, nodes: tuple[int, ...], samples: int, rates: tuple[float, ...]
    ) -> tuple[Keep, ...]:
        """The masks of all layers of an element, each (samples, nodes) bool."""
        layers = []
        for layer, (width, rate) in enumerate(zip(nodes, rates, strict=False)):
            keep = np.ones((samples, width), dtype=np.bool_)
            for sample in range(samples if rate > 0.0 else 0):
                mask = self.masks.pop((element, layer, sample + 1), None)
                if mask is None or len(mask) != width:
                    got = "is missing" if mask is None else f"has {len(mask)} digits"
                    raise InputError(
                        f"{self.path.name}: the mask of {element}, layer {layer}, sample {sample + 1} {got}, "
                        f"expected {width} digits. The file is cut short or damaged: {_AGAIN}"
                    )
                keep[sample] = mask
            layers.append(keep)
        return tuple(layers)

    def _means(self, rates: tuple[float, ...]) -> dict[str, tuple[Array, ...]]:
        """The means of all layers of each element, (nodes,); zeros where nothing is dropped."""
        found = {}
        for element, nodes in self.nodes.items():
            layers = []
            for layer, (width, rate) in enumerate(zip(nodes, rates, strict=False)):
                mean = self.means.pop((element, layer), None) if rate > 0.0 else np.zeros(width)
                if mean is None or len(mean) != width or not np.isfinite(mean).all():
                    got = "are missing" if mean is None else f"are {len(mean)}, or not all finite"
                    raise InputError(
                        f"{self.path.name}: the means of {element}, layer {layer} {got}, expected {width} "
                        f"numbers. The file is cut short or damaged: {_AGAIN}"
                    )
                layers.append(mean)
            found[element] = tuple(layers)
        if self.means:
            element, layer = next(iter(self.means))
            raise InputError(f"{self.path.name}: means of {element}, layer {layer}, which drops no nodes")
        return found
