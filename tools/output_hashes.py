"""Hashes of everything bnnp writes, to prove that a change of the code changed no number and no file format.

\b
python tools/output_hashes.py run before.json --checkout ../unchanged    all cases with the code of a checkout
python tools/output_hashes.py run after.json                             and with that of this one
python tools/output_hashes.py compare before.json after.json             what differs, of text the first lines

A case is a few commands in a directory of its own, which begins as a copy of a folder of inputs/ or of
another case; tools/output_cases.txt has them all. They take some minutes on two cores. Nothing of bnnp is
imported: only the program, its tools and its public names are used, so that one script suits any checkout.

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
from typing import Any

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
    (r"[\d.]+ ms (more|with \d+ thread)", r"SPEED \1"),
    (r"(?m)^(  free on this disk +).*$", r"\1SPACE"),
    (r"(?m)^(  memory +about) \S+ .B each", r"\1"),  # with the memory of the process at that time
    (r"\bbnnp( |</td><td>)\d+\.\d+\.[\w.+]+", "bnnp VERSION"),
    (r"(?m)^(  balance +the busiest rank worked) .* the mean$", r"\1"),
    (r"(?m)^(Loop time of|Performance:|Total wall time|\w+ +\| ).*$", r"\1"),  # LAMMPS
    (r"(?m)^[\d.]+% CPU use|CPU = [\d.]+ seconds$", "CPU"),
)
CASES = Path(__file__).with_name("output_cases.txt")
SHOWN, WIDTH, BEFORE = 3, 100, 40  # differing lines of a text file: number, characters, those before


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


def read_cases(path: Path) -> dict[str, Case]:
    """Cases by name, in the order of the file; the grammar is in its head."""
    text = re.sub(r"(?m)^(#.*)?\n", "", path.read_text())
    cases = {}
    for block in re.split(r"\n(?=\S)", text.strip()):
        head, *commands = re.split(r"\n    (?=\S)", block)
        name, _, start, *others = head.split()
        cases[name] = Case(name, start, tuple(others), tuple(map(joined, commands)))
    return cases


def joined(command: str) -> str:
    """Lines that are indented further are more of the same line, or the lines of a script."""
    first, *more = command.splitlines()
    if command.startswith("script "):
        return "\n".join([first, textwrap.dedent("\n".join(more)), ""])
    return " ".join([first, *map(str.strip, more)])


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
            words = re.sub(r"[^a-z0-9]+", "-", command.splitlines()[0].lower())
            self._step(folder, command, f"{number:02d}-{words[:40].strip('-')}.log")

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
            name, _, lines = rest.partition("\n")
            (folder / f"{name}.py").write_text(lines)
            self._shell(folder, f"python {name}.py > {name}.out", log, False)
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
        """Of all files the case has written; those it was given are as old as where it began."""
        found: dict[str, str] = {}
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
@click.option(
    "--checkout", type=click.Path(path_type=Path, exists=True), default=ROOT, help="Whose code runs."
)
@click.option("--work", type=click.Path(path_type=Path), help="New directory, kept for `compare`.")
@click.option("--only", multiple=True, metavar="CASE", help="And what it needs; repeat the option for more.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Cases at a time.")
def run(output: Path, checkout: Path, work: Path | None, only: tuple[str, ...], jobs: int) -> None:
    """Run the cases, write the hashes to OUTPUT."""
    cases = read_cases(CASES)
    if unknown := set(only) - set(cases):
        raise click.UsageError(f"no case {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    work = Path(tempfile.mkdtemp(prefix="output_hashes_")) if work is None else work.resolve()
    bench = Bench(work, checkout.resolve())
    code = "import bnnp; print(bnnp.__file__)"
    home = subprocess.run(
        [sys.executable, "-c", code],
        cwd=work,
        env=bench.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if not Path(home).is_relative_to(bench.checkout):
        sys.exit(f"Error: bnnp is that of {home.strip()}, not of {bench.checkout}")
    futures: dict[str, Future[dict[str, str]]] = {}

    def work_on(case: Case) -> dict[str, str]:
        for name in case.needs:
            futures[name].result()
        begun = time.perf_counter()
        try:
            bench.run(case)
        except OSError as error:  # a file is not there that the commands before have always written
            click.echo(f"{case.name}: {error}", err=True)
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
    for side, other, path in ((former, latter, first), (latter, former, second)):
        cases = {name.split("/")[0] for name in other["hashes"]}
        alone = [name for name in side["hashes"] if name not in other["hashes"]]
        for name in dict.fromkeys(n if n.split("/")[0] in cases else n.split("/")[0] for n in alone):
            click.echo(f"only in {path}: {name}")
    click.echo(f"{len(names) - len(differing)} of {len(names)} hashes agree")
    sys.exit(1 if differing else 0)


def differing_lines(name: str, former: dict[str, Any], latter: dict[str, Any]) -> Iterator[str]:
    """The first lines of a text file that differ, where both work directories are still there."""
    texts = []
    for side in (former, latter):
        try:
            text = (Path(side["work"]) / name).read_text()
        except (OSError, UnicodeDecodeError):
            return
        folders = (Path(side["work"]), Path(side["checkout"]))
        texts.append((normalized(text, folders) if VOLATILE.search(Path(name).name) else text).splitlines())
    pairs = enumerate(zip_longest(*texts, fillvalue="(end)"), start=1)
    shown = [(number, one, two) for number, (one, two) in pairs if one != two][:SHOWN]
    for number, one, two in shown:
        start = max(0, len(os.path.commonprefix([one, two])) - BEFORE)
        yield f"line {number}: {'...' * (start > 0)}{one[start : start + WIDTH]}"
        yield f"{'now':>{len(str(number)) + 5}}: {'...' * (start > 0)}{two[start : start + WIDTH]}"


if __name__ == "__main__":
    main()
