"""The electrostatics an input.nn describes: widths, screening, Ewald sums and networks of the charges."""

from __future__ import annotations

from math import sqrt

from bnnp.charges.coulomb import Screening
from bnnp.charges.electrostatics import Electrostatics, FixedCharges
from bnnp.charges.ewald import Ewald, EwaldRule
from bnnp.errors import InputError
from bnnp.network.architecture import Architecture
from bnnp.settings.arguments import AUTO
from bnnp.settings.keyword_file import KeywordFile, mistake
from bnnp.settings.keywords.charges import ChargeSettings
from bnnp.settings.keywords.refused import ELECTROSTATICS
from bnnp.units import COULOMB, UNITS

SUM = ("ewald_alpha", "ewald_cutoff", "ewald_kmax")
OF_FIXED = {  # keywords of charges that act on fixed ones
    *("use_electrostatics", "electrostatic_type", "fixed_charge", "fixed_gausswidth", *SUM),
    *("screen_electrostatics", "ewald_truncation_error_method", "ewald_prec", "four_pi_epsilon"),
}


def charge_kind(file: KeywordFile) -> str:
    """How the atoms get charges: ``equilibrated`` (generation 4), ``networks`` (3), ``fixed``, or "" without.

    Raises
    ------
    InputError
        Keywords contradict each other, or ask for charges of another kind; with the line to correct.
    """
    generation, fixed = file.value("nnp_gen"), file.given("fixed_charge")
    given = file.value("electrostatic_type")
    if generation == 2:
        if fixed and given in (None, 3):
            return "" if file.switched_off("use_electrostatics") else "fixed"
        if file.given("use_electrostatics"):
            raise file.mistake(
                "use_electrostatics", f"needs `nnp_gen 3`, `nnp_gen 4` or fixed_charge: {ELECTROSTATICS}"
            )
    kinds = {2: {5: ""}, 3: {1: "networks", 3: "fixed"}, 4: {5: "equilibrated"}}[generation]
    number = given or {2: 5, 3: 3 if fixed else 1, 4: 5}[generation]
    if number not in kinds:
        text = f"is {number}, which does not go with generation {generation}: {ELECTROSTATICS}"
        raise file.mistake("electrostatic_type", text)
    if fixed and kinds[number] != "fixed":
        line = file.of("electrostatic_type" if given else "nnp_gen")[0]
        raise file.mistake("fixed_charge", f"does not go with `{line.text.strip()}`; remove one of the two")
    return kinds[number]


def read_electrostatics(
    file: KeywordFile, elements: tuple[str, ...], architecture: dict[str, Architecture]
) -> Electrostatics | None:
    """The electrostatics of a potential with networks of the charges; None of others.

    Parameters
    ----------
    architecture : mapping of element to Architecture
        Of these networks.

    Raises
    ------
    InputError
        A width is missing or given twice, keywords contradict each other, or they ask for charges of another
        kind; with the line to correct.
    """
    kind = charge_kind(file)
    if kind not in ("networks", "equilibrated"):
        return None
    _by_element(file, "initial_hardness", elements)
    return _electrostatics(file, elements, architecture, kind == "equilibrated")


def read_fixed_charges(
    file: KeywordFile, elements: tuple[str, ...], warnings: list[str]
) -> FixedCharges | None:
    """The charges of ``fixed_charge``; None of other potentials. Raises InputError as the other."""
    if charge_kind(file) != "fixed":
        return None
    values = _of_all(file, "fixed_charge", elements, "electrostatic_type")
    if file.value("nnp_gen") == 2 and not file.given("use_electrostatics"):
        warnings.append(
            f"{file.where('fixed_charge')}: fixed_charge acts here; RuNNer needs use_electrostatics and "
            "`electrostatic_type 3` for it. If it is not meant, remove the lines."
        )
    return FixedCharges(values, _electrostatics(file, elements, {}, False))


def _electrostatics(
    file: KeywordFile, elements: tuple[str, ...], architecture: dict[str, Architecture], equilibrated: bool
) -> Electrostatics:
    units, given = UNITS[file.value("units")], file.value("four_pi_epsilon")
    vacuum = units.ev * units.angstrom / COULOMB
    widths = dict.fromkeys(elements, 0.0)
    if equilibrated or file.given("fixed_gausswidth"):
        widths = _of_all(file, "fixed_gausswidth", elements, "nnp_gen")
    return Electrostatics(
        widths=widths,
        architecture=architecture,
        equilibrated=equilibrated,
        four_pi_epsilon=vacuum if given is None else given,
        screening=_screening(file),
        ewald=_ewald(file),
        conv_charge=file.value("conv_charge"),
    )


def refuse_with_charges(file: KeywordFile) -> None:
    """Raise InputError for a keyword of the training that a potential with charges cannot have."""
    for name, value, reason in (
        ("device", "cuda", "charges are trained on the CPU; write `device cpu`"),
        ("transfer_from", None, "charges cannot be transferred; remove it"),
        ("mc_dropout", "during", "networks with charges have dropout after the training only; remove it"),
        ("dropout_rate", AUTO, "charges have no search for the rate; give a number, such as 0.05"),
        ("uncertainty", "hybrid", "its standard deviations are those of the samples; write `uncertainty mc`"),
        ("finetune", "nll", "the samples of a potential with charges cannot be fine-tuned; remove it"),
    ):
        if file.given(name) and value in (None, file.value(name)):
            own, other = (file.of(each)[0] for each in (name, "nnp_gen"))
            there = " ".join([other.name, *other.words])
            raise file.mistake(
                name, f"is `{' '.join(own.words)}`, which does not go with `{there}`: {reason}"
            )


def idle_keywords(file: KeywordFile) -> tuple[str, ...]:
    """Keywords of charges that have no effect on those of the potential, or on one that has none."""
    kind = charge_kind(file)
    given = [keyword.name for keyword in ChargeSettings.keywords() if file.given(keyword.name)]
    joint = file.value("train_charges") == "joint"
    unused = ["charge_fraction", "task_batch_size_charge"] if joint else ["dipole_weight"]
    idle = {
        "": given,
        "fixed": [name for name in given if name not in OF_FIXED],
        "networks": ["initial_hardness", *unused],
        "equilibrated": unused,
    }
    return tuple(name for name in given if name in idle[kind])


def _of_all(file: KeywordFile, name: str, elements: tuple[str, ...], asking: str) -> dict[str, float]:
    """Numbers of a keyword that must have a line for each element, sorted as they are, because of the keyword
    `asking`."""
    found = _by_element(file, name, elements)
    if missing := [element for element in elements if element not in found]:
        where = file.where(next(each for each in (name, asking, "elements") if file.given(each)))
        none = f"{', '.join(missing)} {'has' if len(missing) == 1 else 'have'} none"
        text = f"{where}: the charges need a line `{name} X` for each element; {none}"
        raise InputError(f"{text}: add `{name} {missing[0]} NUMBER` with that of the training")
    return {element: found[element] for element in elements}


def _by_element(file: KeywordFile, name: str, elements: tuple[str, ...]) -> dict[str, float]:
    """Numbers of a keyword that has a line for each element, some of which may be missing."""
    found: dict[str, float] = {}
    for line, (element, value) in file.items(name):
        if element not in elements:
            raise mistake(line, f"is given for `{element}`, but the elements are {' '.join(elements)}")
        if element in found:
            raise mistake(line, f"is there already for {element}; remove one of the two")
        found[element] = value
    return found


def _screening(file: KeywordFile) -> Screening | None:
    words: tuple[float, float, str] | None = file.value("screen_electrostatics")
    if words is None:
        return None
    try:
        return Screening(*words)
    except ValueError as error:
        raise file.mistake("screen_electrostatics", str(error)) from error


def _ewald(file: KeywordFile) -> EwaldRule:
    """How a periodic structure is summed: by a precision, or RuNNer's three numbers."""
    method, precise = file.value("ewald_truncation_error_method"), file.given("ewald_prec")
    given = [name for name in SUM if file.given(name)]
    if given:
        if missing := [name for name in SUM if name not in given]:
            raise file.mistake(given[0], f"needs {' and '.join(missing)}, too: all three or none")
        if precise:
            line = file.of("ewald_prec")[0].number
            raise file.mistake(given[0], f"excludes ewald_prec in line {line}; remove one of the two")
        alpha, cutoff, k_max = (file.value(name) for name in SUM)
        fixed = Ewald(1.0 / (sqrt(2.0) * alpha), cutoff, k_max=k_max)
        return EwaldRule(fixed=fixed, where=file.where(given[0]))
    if not precise:
        if method == 1:
            text = "needs a line `ewald_prec p q_max`: the precision of a force, and the largest charge"
            raise file.mistake("ewald_truncation_error_method", text)
        return EwaldRule()
    numbers: tuple[float, ...] = file.value("ewald_prec")
    if method == 0 and len(numbers) > 1:
        text = "has one number with ewald_truncation_error_method 0; largest charge and cutoff belong to 1"
        raise file.mistake("ewald_prec", text)
    largest = numbers[1] if len(numbers) > 1 else 1.0
    r_cut = numbers[2] if len(numbers) > 2 else None
    return EwaldRule(method, numbers[0], largest, r_cut, where=file.where("ewald_prec"))
