"""Hashes of everything bnnp writes, to prove that a change of the code changed no number and no file format.

\b
python tools/output_hashes.py run before.json --checkout ../unchanged    all cases with the code of a checkout
python tools/output_hashes.py run after.json                             and with that of this one
python tools/output_hashes.py compare before.json after.json             what differs, of text the first lines

A case is a few commands in a directory of its own, which begins as a copy of a folder of inputs/ or of
another case; CASES has them all. They take some minutes on two cores. Nothing of bnnp is imported: only the
program, its tools and, in SCRIPTS, its public names are used, so that one script suits any checkout.

Every file a case writes is hashed, compiled ones excepted: text byte by byte, .h5 and .npz files array by
array (name, type, shape, numbers, attributes). Printed text and the few files of VOLATILE are hashed without
what no two runs share; NORMALIZATIONS says what that is. Compare runs on one machine with one set of
packages: the last digits of a training depend on both.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import click
import h5py
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = re.compile(r"\.so$|^README\.md$|^\.")
VOLATILE = re.compile(r"\.log$|^log\.lammps$|^report\.html$")
NORMALIZATIONS = (  # pattern, replacement; beside them only the paths of the work directory and the checkout
    (r"(?m)^  .* \d+ %  \d+/\d+ .* left.*\n", ""),  # how often a loop reports depends on its speed
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "DATE"),
    (r" *\b(\d+ h \d\d min|\d+ min \d\d s|\d+(\.\d)? s)\b", " TIME"),
    (r"\d+(\.\d+)? us/atom \(structure \d+\)|\d+ steps/s, \S+ ns/day", "SPEED"),
    (r"(?m)^(  free on this disk +).*$", r"\1SPACE"),
    (r"\bbnnp \d+\.\d+\.\d+\b", "bnnp VERSION"),
    (r"(?m)^(Loop time of|Performance:|[\d.]+% CPU|Total wall time|(?:Pair|Neigh|Comm|Output|Modify|Other) +\|).*$", r"\1"),
)
SHOWN = 3  # differing lines of a text file

# A case is `name < start`, where it begins, then further cases whose files it reads, and its commands. These
# are lines for the shell ($TOOLS and $INPUTS: of the checkout), which must succeed, or fail behind a `!`, or
#     set NAME VALUE; -NAME          other keywords in input.nn from here on, and one less
#     with NAME VALUE: COMMAND       the same for one command
#     train NAME VALUE; ...          set, then modes 2 and 3
#     thin N FROM TO                 every N-th structure
#     script NAME                    one of SCRIPTS
CASES = """
quickstart < inputs/quickstart
    set epochs 6; threads 1
    bnnp --mode 1
    bnnp --mode 2
    bnnp --mode 3 --data predict/input.data
small < inputs/quickstart
    set threads 1; derivatives recomputed; mc_samples 40
    thin 3 input.data input.data
    thin 5 predict/input.data few.data
    with write_runner_files: bnnp --mode 1
    train epochs 3
stored < small
    rm symmetry_functions.h5
    with derivatives stored: bnnp --mode 1
    train memory_limit 3 MB
energies < small
    train -use_short_forces; nguyen_widrow_weights_short; normalize_nodes; element_nodes_short Au 1 5; atom_energy fit

kalman < small
    train optimizer kalman; batch_size 1; precision single
kalman_full < small
    train optimizer kalman; kalman_covariance full; kalman_components 10; kalman_type 0; dropout_rate 0
kalman_runner < small
    train runner_mode 2; optmode_short_energy 1; optmode_short_force 1; short_force_fraction 0.02; epochs 2
kalman_n2p2 < small
    train updater_type 1; kalman_type 0; short_force_fraction 0.01; rmse_threshold 0.8; epochs 2; use_noisematrix
descent < small
    train updater_type 0; gradient_type 0; gradient_eta 1e-4
lbfgs < small
    train optimizer lbfgs; dropout_rate 0; mc_samples 0
polish < small
    train polish_epochs 2
finetune < small
    train finetune nll; finetune_epochs 2; finetune_masks 4
dropout_auto < small
    train dropout_rate auto; print_mad
average < small
    train weight_average 0.9; schedule plateau; plateau_patience 1; early_stopping 2; epochs 8; learning_rate 0.1
weights < small
    train group_weight bulk_300K 2; group_weight bulk_600K 1 0.5 0; huber_delta 2; force_weighting gdf; weight_decay 0.01; gradient_clip 1
inputs < small
    train network_inputs scaled; precision single; dropout_rate_input 0.05; dropout_rate 0.1 0.05
sigma < small
    train -scale_symmetry_functions; -center_symmetry_functions; scale_symmetry_functions_sigma; mean_energy 0.2; conv_energy 3; conv_length 1.5; atom_energy Cu 0.1; atom_energy Au -0.2; remove_atom_energies
old < small
    train use_old_weights_short; use_old_scaling; epochs 1
outputs < small
    train write_weights_epoch 1; write_trainpoints 1; write_trainforces 1; fitting_unit Ha; write_binding_energy_only
restart < small
    train checkpoint_interval 1; epochs 4
    set epochs 6
    bnnp --mode 2 --restart
ensemble < small
    train ensemble_size 2; ensemble_bootstrap
transfer < small
    train transfer_from ../small/potential; transfer_map Cu Au; transfer_freeze 1; transfer_rates 0.1 0.5 1; transfer_scale_energy 1.1
ranks < small
    rm symmetry_functions.h5
    mpiexec -n 2 bnnp --mode 1
    mpiexec -n 2 bnnp --mode 2
    mpiexec -n 2 bnnp --mode 3 --data few.data
resample < small
    set mc_masks resample; check_forces
    bnnp --mode 3 --data few.data

hybrid < inputs/quickstart
    set threads 1; epochs 3; calibration_fraction 0.4; calibration_split blocks; calibration_ood_group bulk_900K; uncertainty hybrid; test_fraction 0.2
    sed -i 's/begin set=.*/begin/' input.data
    thin 5 predict/input.data few.data
    bnnp --mode 1
    bnnp --mode 2
    bnnp --mode 3 --data predict/input.data
hybrid_mc < hybrid
    set uncertainty mc
    bnnp --mode 3 --data predict/input.data
calibrate < small
    with calibrate: bnnp --mode 3 --data predict/input.data
    bnnp --mode 3 --data few.data

md < small
    set md_steps 20 20 20; md_ensemble nvt nve npt; md_temperature 300:600 600 600; md_timestep 2; md_log_every 2; md_write_every 5; md_restart_every 20; md_uncertainty_every 5; md_uncertainty_warn raw forces 0.05; md_candidates_spacing 20
    bnnp --mode 3 --data few.data
    python $TOOLS/analyze_trajectory.py trajectory.extxyz --timestep 10
md_restart < md
    set md_steps 20 20 50
    bnnp --mode 3 --data few.data --restart
md_stop < hybrid
    set md_steps 200; md_temperature 2000; md_log_every 1; md_uncertainty_every 2; md_uncertainty_patience 2; md_uncertainty_stop forces q99 extrapolations 500; md_guard_temperature 20000
    ! bnnp --mode 3 --data few.data
md_guard < small
    set md_steps 100; md_temperature 3000; md_timestep 20; md_thermostat langevin
    ! bnnp --mode 3 --data few.data
md_members < small
    set md_steps 10 10; md_ensemble nvt npt; md_temperature 400; md_thermostat bussi; md_cell full; md_pressure 1; md_members 3; md_log_every 2
    mpiexec -n 2 bnnp --mode 3 --data few.data
md_continued < md
    cp trajectory.extxyz start.extxyz
    set md_steps 10; md_ensemble nve; md_structure start.extxyz; md_velocities continued; md_temperature 300
    bnnp --mode 3 --data few.data

export < small
    bnnp --export bnnp for_lammps
    bnnp --export hdnnp for_n2p2
    bnnp --export hdnnp masks --masks 3
plugin < inputs/lammps
    bnnp --lammps-plugin
    bnnp --export bnnp out --input potential/input.nn
    bnnp --export hdnnp for_n2p2 --input potential/input.nn --masks 2
    sed -i 's/500 bnnp/50 bnnp/; s/custom 500/custom 50/; s/thermo          100/thermo 10/' in.lammps
    lmp -in in.lammps -v nvt 100 -v nve 100 -v cells 3
lammps_ranks < plugin
    mpiexec -n 2 lmp -in in.lammps -v nvt 50 -v nve 50 -v cells 4
lammps_calibrated < plugin hybrid
    rm -r potential && cp -r ../hybrid/potential potential
    sed -i 's/maxsigma 0.10/maxsigma 0.0001/' in.lammps
    lmp -in in.lammps -v nvt 50 -v nve 50 -v cells 3
lammps_potential < inputs/lammps small
    cp ../small/few.data potential/input.data
    cd potential && printf 'calculate_forces\\ncalculate_stress\\nthreads 1\\n' >> input.nn && bnnp --mode 3

runner < inputs/quickstart
    rm -r predict input.data
    python $TOOLS/make_reference_data.py --units atomic --runs 1 --test-runs 0 --compositions 3 --clusters 1 -T 300 -T 600 input.data
    sed -i 's/ 6\\.0$/ 11.0/' input.nn
    set threads 1; -units; -dropout_rate; -mc_samples; -calculate_stress; test_fraction 0.2; epochs 3; runner_mode 1; write_runner_files; random_number_type 6; fitting_unit Ha
    bnnp
    with runner_mode 2; dropout_rate 0; optmode_short_energy 3; optmode_short_force 3: bnnp
    sed -i '/^# potential/d' scaling.data weights.*.data && rm -f uncertainty.data
    with runner_mode 3: bnnp
    bnnp --export bnnp out
python < hybrid ensemble calibrate runner small
    script calculator
    script predictions
tools < hybrid
    python $TOOLS/convert.py --units metal --every 10 input.data some.extxyz
    python $TOOLS/convert.py --units atomic --label back some.extxyz back.data
    python $TOOLS/select_structures.py --number 10 input.data far.data
    python $TOOLS/select_structures.py --potential . --by uncertainty --number 5 few.data doubtful.data
    python $TOOLS/make_symmetry_functions.py Cu Au --cutoff 6 --units metal --size 40 --data few.data --keep 10 > functions.nn
    python $TOOLS/plot.py uncertainty --outside bulk_3000K --out pictures
check < small
    bnnp --check
    bnnp --check --mode 3
    with md_steps 100; md_members 3; md_temperature 300: bnnp --check --mode 3
    bnnp --keywords
    bnnp --keywords dropout_rate
    bnnp --keywords symfunction_short
    bnnp --help
    ! bnnp --check --input $INPUTS/complete/input.nn
errors < small
    ! with droput_rate 0.1: bnnp --mode 1
    ! with epochs x: bnnp --mode 2
    ! with use_electrostatics: bnnp --mode 2
    ! with elements Cu Ag: bnnp --mode 1
    ! with global_symfunction_short 2 0.1 0.0: bnnp --mode 1
    with units atomic: bnnp --check
    ! with units atomic: bnnp --mode 3
    ! with global_nodes_short 7 7: bnnp --mode 3
    ! with random_seed 3: bnnp --mode 2 --restart
    ! with md_steps 5; md_temperature 300; md_uncertainty_stop forces 0.1: bnnp --mode 3
    ! with uncertainty hybrid: bnnp --mode 3
    ! with calibrate: bnnp --mode 3
    ! bnnp --mode 3 --restart
    ! bnnp --mode 3 --data nothing.data
    ! bnnp --keywords droput_rate
    ! bnnp
    ! head -40 input.data > cut.data && bnnp --mode 3 --data cut.data
    ! sed -i 's/^\\( *\\)\\(-\\{0,1\\}[0-9.]*\\)E/\\11.5E/' weights.029.data && bnnp --mode 3
    ! rm symmetry_functions.h5 && bnnp --mode 2

tutorial < inputs/tutorial
    python $TOOLS/make_vasp_example.py vasp
    python $TOOLS/make_vasp_example.py vasp_test --temperatures 900 --temperatures 2100 --frames 4 --seed 2
    for t in 300 900 1500; do python $TOOLS/vasp2data.py --units metal --label ${t}K --append vasp/Si_${t}K input.data; done
    for t in 900 2100; do python $TOOLS/vasp2data.py --units metal --label ${t}K --append vasp_test/Si_${t}K test.data; done
    python $TOOLS/convert.py --check --units metal input.data
    python $TOOLS/make_symmetry_functions.py Si --cutoff 5.0 --units metal > functions.nn
    cat settings.nn functions.nn > input.nn
    set epochs 3; threads 1
    bnnp --check
    bnnp --mode 1
    python $TOOLS/plot.py symmetry --out pictures
    bnnp --mode 2
    python $TOOLS/plot.py training --out pictures
    bnnp --mode 3 --data test.data
    python $TOOLS/plot.py errors --out pictures
    python $TOOLS/plot.py parity --out pictures
    python $TOOLS/plot.py uncertainty --outside 2100K --out pictures
    mkdir md && cp weights.*.data scaling.data uncertainty.data md/ && cat input.nn md.nn > md/input.nn
    cd md && sed -i 's/2000 2000/30 30/' input.nn && bnnp --mode 3 --data ../input.data
    cd md && python $TOOLS/analyze_trajectory.py trajectory.extxyz --rdf && python $TOOLS/plot.py md
    python $TOOLS/plot.py report
"""

SCRIPTS = {
    "calculator": """
        import ase.io, bnnp, numpy as np
        np.set_printoptions(precision=17, threshold=10**6)
        names = ["energy", "energies", "forces", "stress", "energy_std", "energies_std", "forces_std", "stress_std"]
        for directory in ("small", "hybrid", "ensemble", "calibrate"):
            for atoms in ase.io.read("few.data", "::4"):
                atoms.calc = bnnp.BNNP(f"../{directory}")
                for name in names:
                    if name not in ("stress", "stress_std") or atoms.pbc.all():
                        print(directory, name, np.array(atoms.calc.get_property(name, atoms)))
                print(sorted(atoms.info), sorted(atoms.arrays), atoms.calc.results["energy"])
    """,
    "predictions": """
        import bnnp, numpy as np
        np.set_printoptions(precision=17, threshold=10**6)
        for directory in ("small", "hybrid", "ensemble", "calibrate", "runner"):
            potential = bnnp.load(f"../{directory}")
            structures = bnnp.read_data("../runner/input.data" if directory == "runner" else "few.data")[::4]
            for structure in structures:
                found = potential.predict(structure)
                for name in ("energy", "forces", "stress"):
                    one = getattr(found, name)  # a value with its standard deviations beside it, or in one object
                    if hasattr(one, "value"):
                        print(directory, name, one.value, one.std, one.raw)
                    else:
                        print(directory, name, one, *(getattr(found, name + s) for s in ("_std", "_std_raw")))
        for values in bnnp.symmetry_functions(structures, "../runner/input.nn"):
            print(values)
    """,
}


@dataclass(frozen=True)
class Case:
    """Commands in a copy of `start`; `others` are cases whose files they read."""

    name: str
    start: str
    others: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        """Cases that come before."""
        return (*(() if "/" in self.start else (self.start,)), *self.others)


def parse_cases(text: str) -> dict[str, Case]:
    """Cases by name, in the order of the text."""
    cases = {}
    for block in re.split(r"\n(?=\S)", text.strip()):
        head, *commands = block.splitlines()
        name, _, start, *others = head.split()
        cases[name] = Case(name, start, tuple(others), tuple(line.strip() for line in commands if line.strip()))
    return cases


class Bench:
    """Where the cases run: the work directory, and the checkout whose code they run."""

    def __init__(self, work: Path, checkout: Path) -> None:
        self.work, self.checkout = work, checkout
        programs = work / "programs"
        programs.mkdir(parents=True)
        for name, arguments in (("python", ""), ("bnnp", "-m bnnp ")):
            (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
            (programs / name).chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(checkout),
            "TOOLS": str(checkout / "tools"),
            "INPUTS": str(checkout / "inputs"),
            "OMP_NUM_THREADS": "1",
            "SOURCE_DATE_EPOCH": "0",  # the date in a picture
        }

    def run(self, case: Case) -> None:
        """All commands of a case, what each prints in a log of its own, with its exit code."""
        folder = self.work / case.name
        shutil.copytree(self._start(case), folder, ignore=shutil.ignore_patterns("*.log", "README.md"))
        for number, command in enumerate(case.commands, start=1):
            words = re.sub(r"[^a-z0-9]+", "-", command.lower()).strip("-")
            self._step(folder, command, f"{number:02d}-{words[:40]}.log")

    def _start(self, case: Case) -> Path:
        return (self.checkout if "/" in case.start else self.work) / case.start

    def _step(self, folder: Path, command: str, log: str) -> None:
        word, _, rest = command.partition(" ")
        if word == "set":
            change_keywords(folder / "input.nn", rest)
        elif word == "train":
            change_keywords(folder / "input.nn", rest)
            self._step(folder, "bnnp --mode 2", log.replace(".log", "-2.log"))
            self._step(folder, "bnnp --mode 3 --data few.data", log.replace(".log", "-3.log"))
        elif word == "thin":
            step, source, target = rest.split()
            blocks = re.findall(r"(?ms)^begin.*?^end *\n", (folder / source).read_text())
            (folder / target).write_text("".join(blocks[:: int(step)]))
        elif word == "script":
            (folder / f"{rest}.py").write_text(textwrap.dedent(SCRIPTS[rest]))
            self._shell(folder, f"python {rest}.py > {rest}.out", log, False)
        else:
            fails = word == "!"
            command = rest if fails else command
            former = (folder / "input.nn").read_text() if command.startswith("with ") else ""
            if former:
                keywords, command = command.removeprefix("with ").split(": ", 1)
                change_keywords(folder / "input.nn", keywords)
            self._shell(folder, command, log, fails)
            if former:
                (folder / "input.nn").write_text(former)

    def _shell(self, folder: Path, command: str, log: str, fails: bool) -> None:
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        (folder / log).write_text(f"{done.stdout}{done.stderr}exit code {done.returncode}\n")
        if (done.returncode != 0) != fails:
            lines = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
            click.echo(f"{folder.name}: `{command}` ends with code {done.returncode}\n{lines}", err=True)

    def hashes(self, case: Case) -> dict[str, str]:
        """Of all files the case has written; those it was given are as old as in the directory it began with."""
        found = {}
        folder = self.work / case.name
        for path in sorted(folder.rglob("*")):
            former = self._start(case) / path.relative_to(folder)
            given = former.is_file() and former.stat().st_mtime_ns == path.stat().st_mtime_ns
            if path.is_file() and not SKIPPED.search(path.name) and not given:
                name = str(path.relative_to(self.work))
                found |= {f"{name}{part}": digest for part, digest in self._digests(path)}
        return found

    def _digests(self, path: Path) -> Iterator[tuple[str, str]]:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                yield from ((f":{name}", array_digest(archive[name])) for name in archive.files)
        elif path.suffix == ".h5":
            with h5py.File(path) as file:
                yield from ((f":{name}", digest) for name, digest in tree_digests(file))
        elif VOLATILE.search(path.name):
            text = normalized(path.read_text(), (self.work, self.checkout))
            yield "", hashlib.sha256(text.encode()).hexdigest()
        else:
            yield "", hashlib.sha256(path.read_bytes()).hexdigest()


def change_keywords(path: Path, changes: str) -> None:
    """Write `NAME VALUE; -NAME` into an input.nn; former lines of these names go."""
    lines = [change.strip() for change in changes.split(";")]
    names = {line.removeprefix("-").split()[0] for line in lines}
    kept = [line for line in path.read_text().splitlines() if not names.intersection(line.split()[:1])]
    path.write_text("\n".join([*kept, *(line for line in lines if not line.startswith("-"))]) + "\n")


def normalized(text: str, folders: Iterable[Path] = ()) -> str:
    """Printed text without what no two runs share."""
    for number, folder in enumerate(folders):
        text = text.replace(str(folder), f"FOLDER_{number}")
    for pattern, replacement in NORMALIZATIONS:
        text = re.sub(pattern, replacement, text)
    return text


def array_digest(array: NDArray[np.generic]) -> str:
    """Of type, shape and numbers."""
    head = f"{array.dtype.str} {array.shape} "
    return hashlib.sha256(head.encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


def tree_digests(group: h5py.Group) -> Iterator[tuple[str, str]]:
    """Of every dataset and every attribute of an HDF5 file."""
    names: list[str] = []
    group.visit(names.append)
    for name in ["/", *names]:
        node = group[name]
        if isinstance(node, h5py.Dataset):
            yield name, array_digest(node[()])
        yield from ((f"{name}@{key}", array_digest(np.asarray(value))) for key, value in node.attrs.items())


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    pass


@main.command()
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--checkout", type=click.Path(path_type=Path, exists=True), default=ROOT, help="Whose code runs.")
@click.option("--work", type=click.Path(path_type=Path), help="New directory, kept for `compare`.")
@click.option("--only", multiple=True, metavar="CASE", help="And what it needs; repeat the option for more.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Cases at a time.")
def run(output: Path, checkout: Path, work: Path | None, only: tuple[str, ...], jobs: int) -> None:
    """Run the cases, write the hashes to OUTPUT."""
    cases = parse_cases(CASES)
    if unknown := set(only) - set(cases):
        raise click.UsageError(f"no case {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    work = Path(tempfile.mkdtemp(prefix="output_hashes_")) if work is None else work.resolve()
    bench = Bench(work, checkout.resolve())
    code = "import bnnp; print(bnnp.__file__)"
    home = subprocess.run(
        [sys.executable, "-c", code], cwd=work, env=bench.environment, capture_output=True, text=True, check=True
    ).stdout
    if not Path(home).is_relative_to(bench.checkout):
        sys.exit(f"Error: bnnp is that of {home.strip()}, not of {bench.checkout}")
    futures: dict[str, Future[dict[str, str]]] = {}

    def work_on(case: Case) -> dict[str, str]:
        for name in case.needs:
            futures[name].result()
        begun = time.perf_counter()
        bench.run(case)
        found = bench.hashes(case)
        click.echo(f"{case.name:<18} {len(found):4d} hashes  {time.perf_counter() - begun:6.1f} s")
        return found

    with ThreadPoolExecutor(jobs) as pool:  # a case is submitted after all it waits for
        for name in needed(cases, only or tuple(cases)):
            futures[name] = pool.submit(work_on, cases[name])
        hashes = {key: value for future in futures.values() for key, value in future.result().items()}
    content = {"checkout": str(bench.checkout), "work": str(work), "hashes": hashes}
    output.write_text(json.dumps(content, indent=1) + "\n")
    click.echo(f"{len(hashes)} hashes of {len(futures)} cases in {output}; files in {work}")


def needed(cases: dict[str, Case], names: Iterable[str]) -> list[str]:
    """`names` and all they need, each behind what it needs."""
    found: dict[str, None] = {}
    for name in names:
        found |= dict.fromkeys([*needed(cases, cases[name].needs), name])
    return list(found)


@main.command()
@click.argument("first", type=click.Path(path_type=Path, exists=True))
@click.argument("second", type=click.Path(path_type=Path, exists=True))
def compare(first: Path, second: Path) -> None:
    """Name what differs; exit code 1 if anything does."""
    former, latter = json.loads(first.read_text()), json.loads(second.read_text())
    names = sorted(former["hashes"].keys() | latter["hashes"].keys())
    differing = [name for name in names if former["hashes"].get(name) != latter["hashes"].get(name)]
    for name in differing:
        if name in former["hashes"] and name in latter["hashes"]:
            click.echo(f"differs: {name}")
            for line in differing_lines(name, former, latter):
                click.echo(f"    {line}")
        else:
            click.echo(f"only in {first if name in former['hashes'] else second}: {name}")
    click.echo(f"{len(names) - len(differing)} of {len(names)} hashes agree")
    sys.exit(1 if differing else 0)


def differing_lines(name: str, former: dict, latter: dict) -> Iterator[str]:
    """The first lines of a text file that differ, where both work directories are still there."""
    texts = []
    for side in (former, latter):
        try:
            text = (Path(side["work"]) / name).read_text()
        except (OSError, UnicodeDecodeError):
            return
        folders = (Path(side["work"]), Path(side["checkout"]))
        texts.append((normalized(text, folders) if VOLATILE.search(name) else text).splitlines())
    pairs = enumerate(zip_longest(*texts, fillvalue="(end)"), start=1)
    shown = [(number, one, two) for number, (one, two) in pairs if one != two][:SHOWN]
    for number, one, two in shown:
        yield f"line {number}: {one}"
        yield f"{'now':>{len(str(number)) + 5}}: {two}"


if __name__ == "__main__":
    main()
