"""Estimates of time, memory and disk space for each mode, from a few timed calculations.

Mode 1: neighbors and symmetry functions of a few structures, spread evenly over the file and taken in random
order until PATIENCE is over; everything grows with the number of atoms, and sizes come from the layout of the
file that mode 1 would write.
Mode 2: the gradient of the structure nearest to the mean size, by random networks with the dropout masks and
derivatives of the settings, and the products of the Kalman filter with its covariance; not counted are
reading and the errors of every epoch, nor which structures input.data pins to a set or
``calibration_ood_group`` takes out of the training.
Molecular dynamics: the first steps, with the potential of the working directory or with random networks; not
counted are the writing of files and new neighbor searches.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.scaling import Affine
from bnnp.descriptors.survey import survey
from bnnp.dynamics.simulation import Simulation
from bnnp.io.descriptor_layout import DescriptorLayout
from bnnp.io.input_data import StructureFile
from bnnp.io.weights import weights_name
from bnnp.log import Log, byte_count, duration
from bnnp.messages import count
from bnnp.modes.simulate.plan import calculator, read_guard, read_plan, read_stages, starting_atoms
from bnnp.modes.simulate.report import FS_PER_NS, SECONDS_PER_DAY
from bnnp.modes.symmetry.storage import choose_derivatives
from bnnp.potential.loading import draw_masks, potential_of, read_potential, training_rates
from bnnp.potential.member import Member
from bnnp.potential.potential import Potential
from bnnp.run import Run
from bnnp.settings.settings import Settings
from bnnp.structure import Structure
from bnnp.training.initial import parameters_of, random_networks
from bnnp.training.kalman.symmetric_matrix import SymmetricMatrix
from bnnp.training.model import Dropout, TrainedModel
from bnnp.training.pair_forces import Geometry
from bnnp.training.samples import Batch, Sample
from bnnp.training.training import core_forces

SAMPLE = 20  # structures of mode 1 that are timed
PATIENCE = 3.0  # seconds after which the sample is large enough
STEPS, EVALUATIONS = 10, 3  # steps, and standard deviations of forces, that are timed; the fastest counts
LIBRARIES = 3e8  # bytes of a process that has loaded Python's libraries and no structure yet
WORKING = 2.0  # memory a structure takes in mode 1 over its size in the file: lists are sorted and converted
WRITTEN = "the potential, learning-curve.out, checkpoint.npz, t*points, t*forces"


@dataclass(frozen=True)
class SymmetryCost:
    """Estimate for mode 1.

    Parameters
    ----------
    kernel : str
        Instruction set of the C++ core.
    neighbors : float
        Mean number within the largest cutoff.
    seconds_recomputed, seconds_stored : float
        On one core, without and with derivatives.
    bytes_recomputed, bytes_stored : float
        Size of symmetry_functions.h5.
    bytes_largest : float
        Of the largest structure in that file, derivatives included.
    """

    kernel: str
    neighbors: float
    seconds_recomputed: float
    seconds_stored: float
    bytes_recomputed: float
    bytes_stored: float
    bytes_largest: float

    @property
    def bytes_process(self) -> float:
        """Memory of each process."""
        return LIBRARIES + WORKING * self.bytes_largest


def estimate_symmetry(structures: StructureFile, settings: Settings) -> SymmetryCost:
    """Measure a sample and extrapolate by the number of atoms."""
    model, descriptor = settings.model, settings.model.descriptor()
    records, values, derivatives = [], 0.0, 0.0
    start = time.perf_counter()
    chosen = np.unique(np.linspace(0, len(structures) - 1, SAMPLE).astype(int))
    for index in np.random.default_rng(1).permutation(chosen).tolist():
        structure = structures[index]
        records.append(survey(structure, model.elements, model.largest_cutoff, model.atom_energies))
        begun = time.perf_counter()
        types, pairs = descriptor.environments(structure)
        descriptor.values(types, pairs)
        values += time.perf_counter() - begun
        begun = time.perf_counter()
        descriptor.jacobian(types, pairs)
        derivatives += time.perf_counter() - begun
        if time.perf_counter() - start > PATIENCE:
            break
    layout = _layout(np.array(records), settings, descriptor)
    n_atoms = int(layout.first_atom[-1])
    atoms_ratio = float(structures.n_atoms.sum()) / n_atoms
    return SymmetryCost(
        kernel=descriptor.kernel,
        neighbors=int(layout.first_pair[-1]) / n_atoms,
        seconds_recomputed=atoms_ratio * values,
        seconds_stored=atoms_ratio * (values + derivatives),
        bytes_recomputed=atoms_ratio * layout.bytes_without_derivatives,
        bytes_stored=atoms_ratio * layout.bytes,
        bytes_largest=int(structures.n_atoms.max()) / n_atoms * layout.bytes,
    )


def _layout(records: NDArray[np.void], settings: Settings, descriptor: Descriptor) -> DescriptorLayout:
    """The file mode 1 would write of the sample.

    Parameters
    ----------
    records : (n,) array of :func:`bnnp.descriptors.survey.survey_dtype`
        What :func:`bnnp.descriptors.survey.survey` finds of each structure.
    """
    n, elements = len(records), settings.model.elements
    return DescriptorLayout(
        model=settings.model,
        input_digest="",
        stored=True,
        source=np.arange(n),
        subset=np.zeros(n, dtype=np.uint8),
        group=np.zeros(n, dtype=np.int32),
        groups=("",),
        n_atoms=records["n_atoms"],
        n_pairs=records["n_pairs"],
        n_sensitive=np.array([[len(descriptor.sensitive(x, y)) for y in elements] for x in elements]),
    )


def report_symmetry_estimate(structures: StructureFile, run: Run, log: Log) -> bool:
    """Show time, memory and disk of mode 1, with and without derivatives; returns whether they are stored."""
    found, model = estimate_symmetry(structures, run.settings), run.settings.model
    log.section("Estimate for mode 1")
    log.item("kernel", found.kernel)
    within = f"within {model.largest_cutoff:g} {model.units.length}"
    log.item("neighbors of an atom", f"{found.neighbors:.0f} {within}")
    log.line()
    rows = [
        ("stored", duration(found.seconds_stored), byte_count(found.bytes_stored)),
        ("recomputed", duration(found.seconds_recomputed), byte_count(found.bytes_recomputed)),
    ]
    log.table(("derivatives", "time on one core", "symmetry_functions.h5"), rows)
    log.line()
    stored, reason = choose_derivatives(found.bytes_stored - found.bytes_recomputed, run.settings)
    log.item("derivatives", f"{'stored' if stored else 'recomputed'}: {reason}")
    log.item("memory of each process", f"about {byte_count(found.bytes_process)}")
    log.item("free on this disk", byte_count(shutil.disk_usage(run.directory).free))
    return stored


@dataclass(frozen=True)
class TrainingCost:
    """Estimate for mode 2.

    Parameters
    ----------
    seconds : float
        Of one epoch on one core.
    data : float
        Bytes of all structures, if they are kept in memory.
    """

    seconds: float
    data: float


def estimate_training(structures: StructureFile, settings: Settings, stored: bool) -> TrainingCost:
    """Time a structure and extrapolate by the number of atoms that are trained on.

    These are the share that ``test_fraction`` leaves, without ``calibration_fraction`` of it. Charges are
    left out.
    """
    settings = replace(settings, model=replace(settings.model, electrostatics=None))
    sizes = structures.n_atoms
    structure = structures[int(np.abs(sizes - sizes.mean()).argmin())]
    descriptor = settings.model.descriptor()
    sample = _sample(structure, settings, descriptor, stored)
    _time_gradient(sample, settings, descriptor)  # the first call is slower
    seconds = min(_time_gradient(sample, settings, descriptor) for _ in range(2))
    atoms_ratio = float(sizes.sum()) / len(structure)
    trained = trained_share(settings)
    filtering = (
        len(structures) * _time_update(settings, sample) if settings.training.optimizer == "kalman" else 0.0
    )
    return TrainingCost(trained * (atoms_ratio * seconds + filtering), atoms_ratio * sample.nbytes)


def trained_share(settings: Settings) -> float:
    """Share of the structures that are trained on, unless input.data pins them."""
    return (1.0 - settings.structures.test_fraction) * (1.0 - settings.calibration.calibration_fraction)


def report_training_estimate(structures: StructureFile, run: Run, stored: bool, log: Log) -> None:
    """Memory, time and files of mode 2."""
    found = estimate_training(structures, run.settings, stored)
    epochs = run.settings.training.n_epochs(round(trained_share(run.settings) * len(structures)))
    limit = run.settings.general.memory_limit
    log.section("Estimate for mode 2")
    reread = f"; what is beyond memory_limit {byte_count(limit)} is read again" if found.data > limit else ""
    log.item("memory of the data", f"about {byte_count(found.data)}, over all processes{reread}")
    left_out = " and the charges" * (run.settings.model.electrostatics is not None)
    log.item(
        "time of an epoch", f"about {duration(found.seconds)} on one core, without its evaluation{left_out}"
    )
    log.item(f"time of {count(epochs, 'epoch')}", f"about {duration(epochs * found.seconds)} on one core")
    log.item("writes", WRITTEN)


def _sample(structure: Structure, settings: Settings, descriptor: Descriptor, stored: bool) -> Sample:
    """A structure as it is in a training, but with unscaled inputs and targets of 0."""
    types, pairs = descriptor.environments(structure)
    values = descriptor.values(types, pairs)
    rows = [np.flatnonzero(types == number) for number in range(len(settings.model.elements))]
    blocks = np.asarray(descriptor.jacobian(types, pairs), dtype=np.float32) if stored else None
    widths = [len(settings.model.functions[element]) for element in settings.model.elements]
    dtype = torch.float32 if settings.training.precision == "single" else torch.float64
    return Sample(
        index=0,
        source=0,
        inputs=tuple(torch.tensor(values[r, :n], dtype=dtype) for r, n in zip(rows, widths, strict=True)),
        rows=tuple(torch.from_numpy(row) for row in rows),
        n_atoms=len(types),
        energy_weight=1.0,
        force_weight=torch.ones(len(types), dtype=dtype),
        stress_weight=1.0,
        energy=0.0,
        forces=torch.zeros(len(types), 3, dtype=dtype),
        stress=torch.full((6,), torch.nan, dtype=dtype),
        volume=1.0,
        geometry=Geometry(types, pairs, blocks) if settings.structures.use_short_forces else None,
    )


def _time_gradient(sample: Sample, settings: Settings, descriptor: Descriptor) -> float:
    """Seconds for the gradient of a sum of squares."""
    parameters = parameters_of(settings)
    plain = {x: Affine.mixing(np.zeros(n), np.eye(n)) for x, n in parameters.n_inputs.items()}
    dtype = sample.forces.dtype
    model = TrainedModel(parameters, plain, descriptor.width, partial(core_forces, descriptor), dtype)
    dropout = Dropout(settings.general.random_seed, training_rates(settings), settings.dropout.dropout_masks)
    weights = torch.tensor(parameters.pack(random_networks(settings)), dtype=dtype, requires_grad=True)

    def gradient() -> None:
        batch = Batch.of([sample])
        masks = dropout.masks(parameters, 1, batch.sources, batch.energy)
        energy, forces, _ = model(weights, batch, masks)
        loss = (energy * energy).sum()
        torch.autograd.grad(loss if forces is None else loss + (forces * forces).sum(), weights)

    return _seconds(gradient)


def _time_update(settings: Settings, sample: Sample) -> float:
    """Seconds a structure costs in the updates of the Kalman filter: products with its covariance."""
    parameters, keywords = parameters_of(settings), settings.kalman
    forces = 3 * sample.n_atoms if sample.geometry is not None else 0
    if keywords.kalman_updates == "joint":
        rows, updates = 1 + min(keywords.kalman_components or forces, forces), 1.0
    else:
        rows, updates = 1, keywords.short_energy_fraction + keywords.short_force_fraction * forces
    sizes = [block.stop - block.start for block in parameters.blocks]
    total = 0.0
    for size in [sum(sizes)] if keywords.kalman_covariance == "full" else sizes:
        matrix, columns = (
            SymmetricMatrix(size, 1.0, sample.forces.dtype),
            torch.ones(size, rows).to(sample.forces),
        )

        def update(matrix: SymmetricMatrix = matrix, columns: torch.Tensor = columns) -> None:
            matrix.subtract(1e-9 * matrix.product(columns), 1.0)

        _seconds(update)  # the first call is slower
        total += min(_seconds(update) for _ in range(2))
    return total * updates


@dataclass(frozen=True)
class SimulationCost:
    """Estimate for molecular dynamics.

    Parameters
    ----------
    trained : bool
        Whether a potential was found; otherwise random networks were timed.
    n_atoms, samples : int
    steps, evaluations : int
        Steps of the run, and configurations whose standard deviations are evaluated.
    nanoseconds : float
        Simulated in the run.
    seconds_step, seconds_evaluation : float
        Of one step, and of the standard deviations of the forces, which come in addition.
    """

    trained: bool
    n_atoms: int
    samples: int
    steps: int
    evaluations: int
    nanoseconds: float
    seconds_step: float
    seconds_evaluation: float

    @property
    def seconds(self) -> float:
        """Of the run."""
        return self.steps * self.seconds_step + self.evaluations * self.seconds_evaluation

    @property
    def steps_per_second(self) -> float:
        """Speed of the run."""
        return self.steps / self.seconds

    @property
    def ns_per_day(self) -> float:
        """Simulated nanoseconds in a day."""
        return self.nanoseconds / self.seconds * SECONDS_PER_DAY


def estimate_simulation(run: Run) -> SimulationCost:
    """Time steps, and standard deviations of forces, of the structure the run starts from."""
    stages = read_stages(run.settings)
    guard = read_guard(run.settings, stages)
    atoms = starting_atoms(run, stages)
    potential, trained = _potential(run)
    if trained:
        read_plan(run.settings, potential.calibration)  # for its error: a threshold without its calibration
    atoms.calc = calculator(potential, run.settings)
    simulation = Simulation(atoms, stages, np.random.default_rng(1))
    running, steps = simulation.run(), sum(stage.steps for stage in stages)
    step = min(_seconds(lambda: (next(running), guard.check(simulation))) for _ in range(min(STEPS, steps)))
    evaluation = 0.0
    if potential.samples > 1:
        evaluation = min(_seconds(lambda: _forces_std(atoms)) for _ in range(EVALUATIONS))
    every = (run.settings.value(name) for name in ("md_uncertainty_every", "md_write_every"))
    evaluated = set().union(*(range(0, steps + 1, interval) for interval in every))
    return SimulationCost(
        trained=trained,
        n_atoms=len(atoms),
        samples=potential.samples,
        steps=steps,
        evaluations=len(evaluated),
        nanoseconds=sum(stage.steps * stage.timestep for stage in stages) / FS_PER_NS,
        seconds_step=step,
        seconds_evaluation=evaluation,
    )


def report_simulation_estimate(run: Run, log: Log) -> None:
    """Time of the whole run and its speed."""
    found, members = estimate_simulation(run), run.settings.dynamics.md_members or 1
    cores = count(run.threads, "thread")
    log.section("Estimate for molecular dynamics")
    networks = "the potential here" if found.trained else "random networks, as there is no potential here"
    log.item("timed", f"{count(found.n_atoms, 'atom')}, {count(found.samples, 'sample')}, {networks}")
    log.item("a step", f"{1000 * found.seconds_step:.3g} ms with {cores}")
    if found.seconds_evaluation:
        where = f"at {found.evaluations} of {found.steps + 1} configurations"
        log.item("sigmas of the forces", f"{1000 * found.seconds_evaluation:.3g} ms more, {where}")
    speed = f"{found.steps_per_second:.0f} steps/s, {found.ns_per_day:.3g} ns/day"
    text = f"about {duration(found.seconds)}: {speed}"
    if members > 1:
        all_of_them = duration(members * found.seconds)
        text += f"; {count(members, 'member')}, one after the other or on as many ranks: {all_of_them}"
    log.item(f"time of {count(found.steps, 'step')}", text)


def _potential(run: Run) -> tuple[Potential, bool]:
    """The potential of the directory, or one of random networks, and whether it is the former."""
    settings = run.settings
    there = all((run.directory / weights_name(element)).is_file() for element in settings.model.elements)
    if there or settings.model.electrostatics is not None:  # charges are never random
        return read_potential(run.directory, settings, run.threads), True
    member = Member(random_networks(settings), draw_masks(settings))
    return potential_of(settings, member, threads=run.threads), False


def _forces_std(atoms: Atoms) -> None:
    """Standard deviations of the forces, of a configuration whose forces are known."""
    atoms.calc.results.pop("forces_std", None)
    atoms.calc.get_property("forces_std", atoms)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
