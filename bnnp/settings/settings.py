"""Settings: everything input.nn says, typed, checked and with its origin.

A line of input.nn is found in the keyword table and read (:mod:`bnnp.settings.keyword_file`), and its value
is a field of the section of its chapter: ``settings.training.epochs``. Several keywords together give the
model (:mod:`bnnp.settings.model`), or follow RuNNer's and n2p2's rules (:mod:`bnnp.settings.dialects`).
Nothing depends on the order of lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bnnp.errors import InputError
from bnnp.messages import count
from bnnp.model import Model
from bnnp.network.architecture import Architecture
from bnnp.settings.arguments import AUTO, FIT
from bnnp.settings.dialects import choose_optimizer, dialect, forces_of_prediction, training_word
from bnnp.settings.electrostatics import charge_kind, idle_keywords, refuse_with_charges
from bnnp.settings.keyword_file import KeywordFile, mistake
from bnnp.settings.keywords import KEYWORDS, SECTION_OF, SECTIONS
from bnnp.settings.keywords.charges import ChargeSettings
from bnnp.settings.keywords.descriptors import DescriptorSettings, ScalingSettings
from bnnp.settings.keywords.dynamics import DynamicsSettings
from bnnp.settings.keywords.general import GeneralSettings, StructureSettings
from bnnp.settings.keywords.kalman import KalmanSettings
from bnnp.settings.keywords.learning import LabelSettings, LoopSettings
from bnnp.settings.keywords.network import DropoutSettings, NetworkSettings
from bnnp.settings.keywords.prediction import CalibrationSettings, PredictionSettings
from bnnp.settings.keywords.training import (
    EnsembleSettings,
    FinetuningSettings,
    LossSettings,
    OutputSettings,
    TrainingSettings,
    TransferSettings,
)
from bnnp.settings.model import FUNCTION_KEYWORDS, read_model

DEFAULT = "default"
HIGH_DROPOUT = 0.5  # from this value on a drop probability may be a keep probability by mistake


@dataclass(frozen=True)
class Settings:
    """All settings in force in one run.

    Parameters
    ----------
    mode : int
        1, 2 or 3; 0 where only a check is asked for and no mode is named.
    model : Model
        Elements, symmetry functions, networks and units.
    dialect : str
        ``RuNNer`` or ``n2p2``: whose rules the file follows where they disagree.
    general, structures, ... : Section
        Values of the keywords by chapter: typed, defaults filled in, in the units of the file.
    origins : mapping of str to str
        Origin of the value of each keyword: ``input.nn line 12``, ``default``, ``--mode``.
    warnings : tuple of str
        To be shown once, at the start of the log.
    ignored : tuple of str
        Keywords of the file that have no effect, although they belong to this mode.
    """

    mode: int
    model: Model
    dialect: str
    general: GeneralSettings
    structures: StructureSettings
    descriptors: DescriptorSettings
    scaling: ScalingSettings
    network: NetworkSettings
    charges: ChargeSettings
    dropout: DropoutSettings
    training: TrainingSettings
    loss: LossSettings
    ensemble: EnsembleSettings
    finetuning: FinetuningSettings
    transfer: TransferSettings
    output: OutputSettings
    calibration: CalibrationSettings
    prediction: PredictionSettings
    dynamics: DynamicsSettings
    loop: LoopSettings
    label: LabelSettings
    kalman: KalmanSettings
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def value(self, name: str) -> Any:
        """Value of a keyword by its canonical name, for loops over the table."""
        return getattr(getattr(self, SECTION_OF[name]), name)

    def given(self, name: str) -> bool:
        """Whether the keyword is in the file."""
        return self.origins.get(name, DEFAULT).partition(" (")[0] != DEFAULT

    def changed(self, **values: Any) -> Settings:
        """The same settings with other values of some keywords."""
        changes: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            changes.setdefault(SECTION_OF[name], {})[name] = value
        return replace(self, **{name: replace(getattr(self, name), **own) for name, own in changes.items()})

    def with_atom_energies(self, energies: Mapping[str, float]) -> Settings:
        """The same settings with the free-atom energies that mode 2 has fitted."""
        return replace(self, model=replace(self.model, atom_energies=dict(energies)))

    @property
    def file(self) -> str:
        """Name of the file, ``input.nn`` unless --input says otherwise."""
        return self.origins["elements"].partition(" line ")[0]

    @property
    def chooses_functions(self) -> bool:
        """Whether mode 1 has yet to choose the symmetry functions."""
        return not any(self.model.functions.values())

    @property
    def fits_atom_energies(self) -> bool:
        """Whether the free-atom energies are those of mode 2's training set (``atom_energy fit``)."""
        return any(element == FIT for element, _ in self.general.atom_energy)


def load_settings(
    path: str | Path = "input.nn",
    mode: int | None = None,
    *,
    mode_required: bool = True,
    choosing: bool = False,
) -> Settings:
    """Read and check input.nn.

    Parameters
    ----------
    path : str or Path
        The file.
    mode : int or None
        The option ``--mode``, which wins over ``runner_mode``.
    mode_required : bool
        False: a file that names no mode is accepted (``bnnp --check``).
    choosing : bool
        A file without symmetry functions is accepted for mode 1, which will choose them, and for a check.

    Raises
    ------
    InputError
        Any mistake in the file, with its line.
    """
    file = KeywordFile(path)
    warnings: list[str] = []
    number, origin = _mode(file, mode, mode_required)
    _add_chosen_functions(file, number, choosing)
    optimizer = choose_optimizer(file, warnings if number in (0, 2) else [], dialect(file))
    model = read_model(file, warnings)
    if model.electrostatics is not None and number in (0, 2):
        refuse_with_charges(file)
    forces, why = forces_of_prediction(file)
    follows = {
        **optimizer.values,
        "runner_mode": number,
        "dropout_rate": _dropout_rate(file, model.architecture),
        "mc_dropout": _mc_dropout(file),
        "group_weight": _group_weights(file),
        "transfer_map": _transfer_map(file),
        "calculate_forces": forces,
    }
    if not file.given("calibration_fraction") and _plain(file, follows["dropout_rate"]):
        follows["calibration_fraction"] = 0.0  # nothing to calibrate
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        values = file.values(section, model.units)
        sections[name] = section(**{**values, **{key: follows[key] for key in values if key in follows}})
    origins = {name: file.where(name) if file.given(name) else DEFAULT for name in SECTION_OF}
    if word := training_word(file):
        origins["dropout_rate"] = (
            f"{DEFAULT} (as in RuNNer and n2p2, whose `{word}` is in line {file.of(word)[0].number})"
        )
    settings = Settings(
        mode=number,
        model=model,
        dialect=dialect(file),
        **sections,
        origins={**origins, **optimizer.origins, "runner_mode": origin, "calculate_forces": why},
        ignored=_ignored(file, number, optimizer.idle),
    )
    return replace(settings, warnings=(*warnings, *_further_warnings(settings)))


def automatic_file(path: str | Path) -> Path:
    """The file with the functions that mode 1 has chosen for an input.nn without any."""
    return Path(f"{path}.auto")


def _add_chosen_functions(file: KeywordFile, mode: int, choosing: bool) -> None:
    """Add the functions that mode 1 has chosen, unless the file has its own or they are to be chosen now."""
    if any(map(file.given, FUNCTION_KEYWORDS)):
        if file.given("symmetry_functions"):
            line = next(file.of(name)[0] for name in FUNCTION_KEYWORDS if file.given(name))
            text = f"lets mode 1 choose the functions, but line {line.number} has one; remove one of the two"
            raise file.mistake("symmetry_functions", text)
        return
    chosen = automatic_file(file.path)
    if choosing and (mode == 1 or (mode == 0 and not chosen.is_file())):
        return
    if not chosen.is_file():
        raise InputError(
            f"{file.path}: has no symmetry function, and there is no {chosen.name}. `bnnp --mode 1` chooses "
            "functions from the structures and writes that file; or add lines such as "
            "`global_symfunction_short 2 0.01 0.0 12.0`"
        )
    file.add(chosen)


def _mode(file: KeywordFile, mode: int | None, required: bool) -> tuple[int, str]:
    """Number of the mode, and its origin."""
    if mode is not None:
        if mode not in (1, 2, 3):
            raise InputError(f"--mode is {mode} but must be 1, 2 or 3")
        return mode, "--mode"
    if file.given("runner_mode"):
        return file.value("runner_mode"), file.where("runner_mode")
    if required:
        raise InputError(
            f"{file.path}: no mode is given. Run `bnnp --mode 1` (symmetry functions), 2 (training) or 3 "
            "(prediction), or write `runner_mode 1` into the file."
        )
    return 0, DEFAULT


def _dropout_rate(file: KeywordFile, architecture: Mapping[str, Architecture]) -> tuple[float, ...] | str:
    """Drop probability of every hidden layer, or ``auto``; high ones may be keep probabilities by mistake and
    are refused."""
    rates: tuple[float, ...] | str = (0.0,) if training_word(file) else file.value("dropout_rate")
    if isinstance(rates, str):
        return rates
    layers = max((len(network.nodes) for network in architecture.values()), default=len(rates))
    if len(rates) not in (1, layers):
        text = (
            f"has {count(len(rates), 'number')} for {count(layers, 'hidden layer')}; give one, or one a layer"
        )
        raise file.mistake("dropout_rate", text)
    highest = {"dropout_rate": max(rates), "dropout_rate_input": file.value("dropout_rate_input")}
    for name, rate in highest.items():
        if rate >= HIGH_DROPOUT and not file.given("allow_high_dropout"):
            text = f"is {rate}: the chance to DROP a node, not to keep it."
            raise file.mistake(name, f"{text} If so meant, add `allow_high_dropout`")
    return rates * layers if len(rates) == 1 else rates


def _mc_dropout(file: KeywordFile) -> str:
    """When nodes are dropped: a file that says how much has dropout in training, as in the literature."""
    if file.given("mc_dropout"):
        when: str = file.value("mc_dropout")
        if when == "after" and file.value("finetune") != "none":
            raise file.mistake(
                "mc_dropout", "is `after`, but finetune trains the samples: `during`, or no finetune"
            )
        return when
    if charge_kind(file) in ("networks", "equilibrated"):
        return "after"
    names = ("dropout_rate", "dropout_rate_input", "dropout_masks", "finetune")
    return "during" if any(file.given(name) for name in names) else "after"


def _plain(file: KeywordFile, rates: tuple[float, ...] | str) -> bool:
    """Whether there are no standard deviations: no dropout and one network."""
    dropout = rates == AUTO or any(rates) or file.value("dropout_rate_input") > 0.0
    return not dropout and file.value("ensemble_size") == 1


def _group_weights(file: KeywordFile) -> tuple[tuple[str, float, float, float], ...]:
    """Labels with their weights of energies, forces and stresses, no label twice."""
    found: dict[str, tuple[str, float, float, float]] = {}
    for line, value in file.items("group_weight"):
        if value[0] in found:
            raise mistake(line, f"is there already for {value[0]}; remove one of the two")
        found[value[0]] = value
    return tuple(found.values())


def _transfer_map(file: KeywordFile) -> tuple[tuple[str, ...], ...]:
    """Pairs of a new element and the old one it starts from, no new one twice."""
    found: dict[str, str] = {}
    for line, elements in file.items("transfer_map"):
        if len(elements) % 2:
            raise mistake(line, "expects pairs of elements, the new one first, such as `transfer_map Ge Si`")
        for new, old in zip(elements[::2], elements[1::2], strict=True):
            if new in found:
                raise mistake(line, f"names {new} twice; it can start from one element only")
            found[new] = old
    return tuple(found.items())


def _ignored(file: KeywordFile, mode: int, idle: tuple[str, ...]) -> tuple[str, ...]:
    """Keywords in the file that belong to the mode and have no effect."""
    always_on = [x for x in file.names() if file.value(x) is False and "always on" in KEYWORDS[x].help]
    idle = (*idle, *always_on, *idle_keywords(file))
    names = (name for name in file.names() if KEYWORDS[name].tier == "O" or name in idle)
    return tuple(name for name in names if mode == 0 or str(mode) in KEYWORDS[name].modes)


def _further_warnings(settings: Settings) -> list[str]:
    """Warnings about settings that are legal but may be mistakes."""
    found: list[str] = []
    if settings.model.cutoff.type == 0:
        found.append("cutoff_type 0 is a hard cutoff: energies jump where an atom crosses it")
    for own in settings.model.functions.values():
        found += [
            f"{settings.file} line {function.line}: zeta is {function.zeta:g}: the function diverges at "
            f"{180 if function.lambda_ > 0 else 0} degrees, as in n2p2"
            for function in own
            if function.zeta < 0.0
        ]
    if settings.model.cutoff.type == 3:
        found.append(
            "cutoff_type 3 is n2p2's; RuNNer's has another prefactor: do not exchange weights or scaling.data"
        )
    raw = settings.loss.network_inputs == "scaled" or settings.dropout.dropout_rate_input > 0.0
    if settings.model.scaling.kind == "none" and settings.mode == 2 and raw:
        found.append(
            "symmetry functions are not scaled; networks train much better with `scale_symmetry_functions`"
        )
    if settings.mode == 1 and not settings.given("test_fraction"):
        fraction = f"{settings.structures.test_fraction:g} of the structures are kept for testing"
        found.append(f"no test_fraction: {fraction}, unless pinned")
    if settings.mode in (1, 2) and not settings.given("random_seed"):
        found.append(f"no random_seed: {settings.general.random_seed} is used")
    return [*found, *_without_effect(settings)]


def _without_effect(settings: Settings) -> list[str]:
    """Warnings about keywords that have no effect without another one."""
    found: list[str] = []
    for name, needed, modes in (
        ("calibration_split", "calibration_fraction", (0, 1)),
        ("transfer_map", "transfer_from", (0, 2)),
        ("transfer_scale_length", "transfer_from", (0, 2)),
        ("transfer_scale_energy", "transfer_from", (0, 2)),
    ):
        if settings.mode in modes and settings.given(name) and not settings.value(needed):
            found.append(f"{settings.origins[name]}: {name} has no effect without {needed}")
    kept = settings.calibration.calibration_fraction or settings.calibration.calibration_ood_group
    dropout = settings.dropout
    plain = set(dropout.dropout_rate) == {0.0} and dropout.dropout_rate_input == 0.0
    if kept and plain and settings.ensemble.ensemble_size == 1 and settings.mode in (0, 1, 2):
        found.append(
            "dropout_rate is 0 and there is one network, so there are no standard deviations to calibrate: "
            "calibration_fraction and calibration_ood_group keep structures from the training for nothing"
        )
    return found
