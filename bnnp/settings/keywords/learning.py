"""Keywords of the active-learning loop (``bnnp --loop``)."""

from __future__ import annotations

from dataclasses import dataclass

from bnnp.settings.arguments import (
    AUTO,
    Limit,
    Ramp,
    assignments,
    auto_or,
    choice,
    flag,
    force_level,
    integer,
    ramps,
    real,
    reals,
    structures,
    text,
)
from bnnp.settings.keywords.record import BNNP, Section, keyword


# fmt: off
@dataclass(frozen=True)
class LoopSettings(Section, title="Loop", modes="123", dialect=BNNP):
    """What `bnnp --loop` does in each generation; the modes themselves do not look at it."""

    loop_generations: int = keyword("n", integer(1, 999), 10,
        "generations after which `bnnp --loop` ends, whatever the potential says")
    loop_structures: tuple[int | str, ...] = keyword("n ...|FILE", structures, (1,),
        "where molecular dynamics starts: structures of input.data, or all those of a file like it",
        note="Each of them at each loop_temperature, loop_pressure and loop_bias, with loop_seeds seeds: one "
             "run of md_steps each. What the run is like say the md_ keywords of input.nn.")
    loop_explore: tuple[str, ...] = keyword("DIRECTORY", text, (),
        "explore by LAMMPS: a directory with explore.sh, which is run in a copy of it; without it by mode 3",
        note="The folder of a run has potential/, structure.data and run.lammps, which sets variables such "
             "as temperature, steps and sigma_stop: see inputs/loop/explore_template.")
    loop_temperature: tuple[Ramp, ...] = keyword("T|T1:T2 ...", ramps, (),
        "temperatures of the runs in K, one run each; without it md_temperature")
    loop_pressure: tuple[Ramp, ...] = keyword("p|p1:p2 ...", ramps, (),
        "pressures of the runs in GPa, one run each (`md_ensemble npt`); without it md_pressure")
    loop_bias: tuple[float, ...] = keyword("k ...", reals(0.0), (),
        "k of md_bias, a bias energy -k sigma, one run each; without it that of md_bias",
        note="`loop_bias 0 2` makes each run without and with a bias, which finds rare events sooner.")
    loop_seeds: int = keyword("n", integer(1), 1,
        "runs with different velocities for each structure, temperature, pressure and bias")
    loop_jobs: int = keyword("n", integer(1), 1,
        "runs of molecular dynamics at once, each a process on this machine")
    loop_lower: Limit = keyword("q95|F", force_level, Limit("forces", None, 95.0),
        "sigma of a force component from which a frame is worth a label",
        note="A number in units of the file, or a quantile of the calibration set: q95 is the sigma "
             "that 95 % of its structures do not exceed, found anew for the potential of each "
             "generation. Large cells have larger sigmas, as the largest of more components counts.")
    loop_upper: float = keyword("x", real(above=1.0), 5.0,
        "a frame whose sigma is x times loop_lower or more is left out, and ends its run",
        note="There the potential is so far from what it knows that the geometry may be nonsense. The "
             "run ends after md_uncertainty_patience such looks.")
    loop_quiet: int = keyword("n", integer(0), 50,
        "looks of a run without a frame worth a label after which one is taken anyway; 0: never",
        note="It guards against standard deviations that are too small. md_uncertainty_every has the "
             "steps between two looks.")
    loop_select: str = keyword("uncertainty|random", choice("uncertainty", "random"), "uncertainty",
        "how frames are chosen: by sigma, energy and distance, or at random to compare with")
    loop_labels: int = keyword("n", integer(1), 20,
        "labels of a generation, at most")
    loop_cut: float = keyword("r", real(0.0), 0.0,
        "label the region around the most uncertain atom, made periodic: all within r of it have all "
        "neighbors; 0: whole cells", unit="length",
        note="It is 2 (r + cutoff) wide, or up to 1.3 times that; a smaller cell is labeled as it is. Forces "
             "count on atoms whose surroundings within the cutoff are those in the large cell.")
    loop_cut_energy: bool = keyword("", flag, False,
        "energy and stress of regions that were cut out count, too")
    loop_hold_out: float = keyword("x", real(above=0.0, below=0.5), 0.1,
        "share of the labels of each generation that is never trained on: it judges all potentials")
    loop_retrain: int = keyword("k", integer(0), 5,
        "every k-th generation is trained from random weights, the others from the last ones; 0: none")
    loop_epochs: int | str = keyword("n|auto", auto_or(integer(1)), AUTO,
        "epochs of a training from the last weights; auto: as `epochs` says")
    loop_weight: float = keyword("w", real(above=0.0), 1.0,
        "weight of the newest labels in a training from the last weights; all former ones are trained "
        "on, too")
    loop_end: float = keyword("x", real(0.0, below=1.0), 0.02,
        "the loop ends when two generations running had no larger share of frames beyond loop_lower")
    loop_failures: float = keyword("x", real(0.0, 1.0), 0.3,
        "share of the labels of a generation that may fail; more stop the loop with the reasons")
    loop_wait: float = keyword("t", real(0.0), 0.0,
        "seconds between two looks at the queue; 0: `bnnp --loop` ends while jobs are in the queue",
        note="The same command goes on later, by hand, from cron, or by loop_resubmit. With "
             "`label_queue local` it waits in any case.")
    loop_resubmit: tuple[str, ...] = keyword("FILE", text, (),
        "batch script with `bnnp --loop` that is submitted behind the label jobs (sbatch --dependency)")


@dataclass(frozen=True)
class LabelSettings(Section, title="Labels", modes="123", dialect=BNNP):
    """How `bnnp --loop` calculates energies and forces; one of the first three keywords is needed."""

    label_template: tuple[str, ...] = keyword("DIRECTORY", text, (),
        "label by VASP: a directory with INCAR, KPOINTS, POTCAR.X for each element X, and label.sh",
        note="label.sh is run in a directory with POSCAR, POTCAR, INCAR and KPOINTS, by bash or as a "
             "task of a SLURM array with its #SBATCH lines.")
    label_command: tuple[str, ...] = keyword("COMMAND", text, (),
        "label by any program: a shell line that reads structure.extxyz and writes label.extxyz",
        note="Or label.data, as structure.data in the units of input.nn, or OUTCAR, vasprun.xml, "
             "vaspout.h5. A relative path of a program begins at the directory of input.nn, as "
             "$BNNP_CAMPAIGN.")
    label_teacher: tuple[str, ...] = keyword("emt|sw|snap|MODULE:CLASS [key=value ...]", text, (),
        "label by a calculator of ASE: built in, or a class by its import path, with its arguments",
        note="sw and snap need the `lammps` package and file=NAME (of its potentials, or a path; snap: "
             "the name without snapcoeff); sw of Si or Ge needs neither.")
    label_queue: str = keyword("local|slurm", choice("local", "slurm"), "local",
        "where label_template and label_command run: processes on this machine, or SLURM arrays")
    label_jobs: int = keyword("n", integer(1), 1,
        "labels at once")
    label_timeout: float = keyword("minutes", real(0.0), 0.0,
        "a label that takes longer on this machine has failed; 0: no limit (SLURM: --time of label.sh)")
    label_retry: tuple[tuple[str, str], ...] = keyword("TAG=VALUE ...", assignments, (),
        "tags of INCAR for the second try of a label that failed, e.g. ALGO=Normal NELM=200",
        note="Only those of the electronic minimization: others would be another calculation. Without "
             "it a label that did not converge is not tried again.")
    label_doubt: float = keyword("x", real(above=0.0), 6.0,
        "labels that differ from the prediction by more than x sigma go to doubtful.data, for you to look at",
        note="And by more than 1 eV/Angstrom in a force or 0.1 eV/atom in the energy.")
