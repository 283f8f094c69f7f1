"""A campaign: its folders, the markers of its finished steps, and the commands that are run in them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from bnnp.command import say
from bnnp.errors import BnnpError, InputError
from bnnp.io.input_nn import read_input_nn
from bnnp.io.lock import FILE_NAME as LOCK
from bnnp.io.output import cannot_write, make_folder, replace_file
from bnnp.settings.settings import Settings, load_settings
from bnnp.units import Units

STEPS = ("explore", "select", "label", "train", "judge")
MARKER, STOP, TABLE = "done.json", "loop.stop", "loop.out"
FIXED = ("elements", "units")  # keywords that make another campaign


class Stopped(BnnpError):
    """`bnnp --loop stop` was called."""


@dataclass(frozen=True)
class Marker:
    """What a finished step has left.

    Parameters
    ----------
    inputs, outputs : mapping of str to str
        Hash of each file, by its path from the campaign.
    facts : mapping
        Results of the step that later ones, the status and the table need.
    keywords : mapping of str to str
        What input.nn said when the step was done.
    changed : sequence of str
        How that differed from the step before.
    seconds : float
        Of the call that finished it.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    facts: Mapping[str, Any]
    keywords: Mapping[str, str]
    changed: Sequence[str] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Campaign:
    """A directory with input.nn and input.data in which generations are made.

    Parameters
    ----------
    root : Path
    settings : Settings
        Of input.nn, as for mode 1.
    """

    root: Path
    settings: Settings
    begin: dict[Path, float] = field(default_factory=dict)

    @classmethod
    def open(cls, root: Path) -> Campaign:
        """The campaign of a directory. Raises InputError for mistakes in input.nn."""
        return cls(root, load_settings(root / "input.nn", 1, choosing=True))

    @property
    def units(self) -> Units:
        """Units of all its data."""
        return self.settings.model.units

    def step(self, generation: int, name: str) -> Path:
        """Folder of a step."""
        return self.root / f"generation_{generation:03d}" / name

    def job(self, generation: int, number: int) -> Path:
        """Folder of a label."""
        return self.step(generation, "label") / f"job_{number:04d}"

    def shown(self, path: Path) -> str:
        """A path from the campaign."""
        return str(path.relative_to(self.root))

    @cached_property
    def keywords(self) -> dict[str, str]:
        """Lines of input.nn by keyword, without the symmetry functions."""
        found: dict[str, str] = {}
        for line in read_input_nn(self.root / "input.nn"):
            if "symfunction" not in line.name:
                found[line.name] = "; ".join(filter(None, (found.get(line.name), " ".join(line.words))))
        return found

    @property
    def generations(self) -> list[int]:
        """Numbers of the generations that have begun."""
        found = (path.name.removeprefix("generation_") for path in self.root.glob("generation_*"))
        return sorted(int(name) for name in found if name.isdigit())

    def marker(self, generation: int, name: str) -> Marker | None:
        """What a step has left, or None if it is not done."""
        path = self.step(generation, name) / MARKER
        if not path.is_file():
            return None
        try:
            return Marker(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{self.shown(path)} cannot be read ({error}); remove it, and `bnnp --loop` does the "
                "step again"
            ) from None

    def facts(self, generation: int, name: str) -> Mapping[str, Any]:
        """Results of a finished step."""
        marker = self.marker(generation, name)
        assert marker is not None, f"{name} of generation {generation} is not done"
        return marker.facts

    def demand_unchanged(self, generation: int, name: str) -> None:
        """Raise InputError if the files that a finished step has written are other ones now."""
        marker = self.marker(generation, name)
        for file, digest in marker.outputs.items() if marker else ():
            now = hash_of(self.root / file)
            if now != digest:
                what = "is not there any more" if now is None else "has changed"
                raise InputError(
                    f"{file} {what} since `{name}` of generation {generation} wrote it; bring it back, "
                    f"or remove {self.shown(self.step(generation, name) / MARKER)} to have the step done "
                    "again"
                )

    @property
    def last_marker(self) -> Marker | None:
        """That of the step that was finished last."""
        for generation in reversed(self.generations):
            for name in reversed(STEPS):
                if marker := self.marker(generation, name):
                    return marker
        return None

    def changes(self) -> list[str]:
        """How input.nn differs from what it was when the last step was finished.

        Raises
        ------
        InputError
            The elements or the units differ.
        """
        last = self.last_marker
        if last is None:
            return []
        changed = {
            name: f"{name} {last.keywords.get(name, 'not there')} -> {self.keywords.get(name, 'not there')}"
            for name in {**last.keywords, **self.keywords}
            if last.keywords.get(name) != self.keywords.get(name)
        }
        for name in FIXED:
            if name in changed:
                raise InputError(
                    f"input.nn: {changed[name]}: the labels and potentials of this campaign were made "
                    "with the former; bring it back, or begin another campaign in another directory"
                )
        return list(changed.values())

    def finish(
        self, generation: int, name: str, inputs: Iterable[Path], outputs: Iterable[Path], **facts: Any
    ) -> None:
        """Write the marker of a step, after all that it refers to."""
        folder = self.step(generation, name)
        hashes = [{self.shown(path): hash_of(path) for path in paths} for paths in (inputs, outputs)]
        marker = {
            "inputs": hashes[0],
            "outputs": hashes[1],
            "facts": facts,
            "keywords": self.keywords,
            "changed": self.changes(),
            "seconds": round(time.monotonic() - self.begin.get(folder, time.monotonic()), 1),
        }
        write_json(folder / MARKER, marker)

    def start(self, generation: int, name: str) -> Path:
        """Folder of a step that begins or goes on."""
        folder = self.step(generation, name)
        self.begin[folder] = time.monotonic()
        make_folder(folder)
        return folder

    def demand_no_stop(self) -> None:
        """Raise Stopped if `bnnp --loop stop` was called."""
        if (self.root / STOP).exists():
            raise Stopped("stopped by `bnnp --loop stop`; `bnnp --loop` goes on")

    def run(self, folder: Path, log: str, *words: object) -> str:
        """Run ``bnnp WORDS`` in a folder; returns what it printed.

        Raises
        ------
        InputError
            It failed, with its last words.
        """
        command = [str(word) for word in words]
        if locked(folder / LOCK):
            say(f"{self.shown(folder)}: a command of a former call still works there; waiting for it")
            while locked(folder / LOCK):
                time.sleep(1.0)
        click.echo(f"$ (cd {shlex.quote(self.shown(folder))} && bnnp {shlex.join(command)} > {log})")
        done = subprocess.run(
            [sys.executable, "-m", "bnnp", *command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with replace_file(folder / log) as file:
            file.write(done.stdout)
        if done.returncode:
            last = done.stdout.rpartition("ERROR: ")[2].strip() or f"exit code {done.returncode}"
            raise InputError(
                f"`bnnp {shlex.join(command)}` failed in {self.shown(folder)}, see {log} there: {last}"
            )
        return done.stdout

    def potential(self, generation: int) -> int:
        """Generation whose potential is in force at the end of a generation."""
        marker = self.marker(generation, "judge")
        if marker is not None:
            return int(marker.facts["potential"])
        return self.potential(generation - 1) if generation > 0 else 0

    def potential_folder(self, generation: int) -> Path:
        """The potential that explores and judges in a generation: the one in force before."""
        return self.step(self.potential(generation - 1), "train") / "potential"

    def labeled(self, last: int) -> list[Path]:
        """input.data of the labels of all generations up to `last`, that are trained on."""
        paths = (self.step(number, "label") / "labeled.data" for number in range(last + 1))
        return [path for path in paths if path.is_file()]

    def held_out(self, last: int) -> list[Path]:
        """Those that are never trained on."""
        paths = (self.step(number, "label") / "held_out.data" for number in range(last + 1))
        return [path for path in paths if path.is_file()]


def locked(path: Path) -> bool:
    """Whether a process holds the lock of a file."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def hash_of(path: Path) -> str | None:
    """First 16 digits of the sha256 of a file; None if it is not there."""
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def write_json(path: Path, value: object) -> None:
    """Write a file that is there as a whole or not at all."""
    with replace_file(path) as file:
        json.dump(value, file, indent=1)
        file.write("\n")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to be filled, that takes its name when the block ends well."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        make_folder(temporary)
        yield temporary
        temporary.rename(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def without(text: str, *prefixes: str) -> str:
    """input.nn without the lines of keywords with these beginnings."""
    kept = [line for line in text.splitlines() if not line.split("#")[0].strip().startswith(prefixes)]
    return "\n".join([*kept, ""])


def announce(generation: int, name: str, text: str) -> None:
    """Say what a step does."""
    say(f"generation {generation}, {name}: {text}")
