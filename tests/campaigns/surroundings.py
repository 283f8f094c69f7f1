"""Every mode in bad surroundings: files that may not grow, a full disk, a directory without writing, few or
many open files, a clock that goes back. What cannot be done is said in a sentence; nothing is lost.

python tests/campaigns/surroundings.py --seed 1 >> results.txt       a full disk needs the right to mount
"""

from __future__ import annotations

import argparse
import hashlib
import random
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from case import DYNAMICS, TIMEOUT, Ended, command, copy, demand, environment, make, run

from bnnp.modes.train.output import EPOCH_FILE

MODES = {
    "mode 1": ["--mode", "1"],
    "mode 2": ["--mode", "2"],
    "mode 3": ["--mode", "3"],
    "MD": ["--mode", "3"],
}
SIZES = 12  # limits of the size of a file, drawn for each mode
LARGEST = {"mode 1": 30_000_000, "mode 2": 300_000, "mode 3": 1_500_000, "MD": 300_000}
MANY = 2000  # files that are open already
BACK = """
import time
start, steps = time.time(), [0]
def back():
    steps[0] += 1
    return start - 3600.0 * steps[0]
time.time = back
"""
INPUTS = ("input.nn", "input.data")


def main() -> None:
    """Prepare a directory for each mode, and try each kind of surroundings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=MODES, help="one mode instead of all")
    parser.add_argument("--sizes", type=int, default=SIZES, help="limits of the size of a file")
    given = parser.parse_args()
    draw = random.Random(given.seed)
    faults: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        for mode, source in prepare(Path(place)).items():
            if given.only not in (None, mode):
                continue
            tries: dict[str, Callable[[], list[str]]] = {}
            for _ in range(given.sizes):
                size = int(LARGEST[mode] * draw.random() ** 3)
                tries[f"files of {size} bytes"] = limited(mode, source, resource.RLIMIT_FSIZE, size)
            for count in (12, 24, 48):
                tries[f"{count} open files"] = limited(mode, source, resource.RLIMIT_NOFILE, count)
            tries |= {
                f"{MANY} files are open": lambda mode=mode, source=source: crowded(mode, source),
                "the clock goes back": lambda mode=mode, source=source: backwards(mode, source),
                "full disk": lambda mode=mode, source=source: mounted(mode, source, draw, "size"),
                "read-only": lambda mode=mode, source=source: mounted(mode, source, draw, "ro"),
            }
            for name, attempt in tries.items():
                found = attempt()
                faults.update(found)
                print(f"{mode}, {name}: {'; '.join(found) or 'good'}", flush=True)
    print(f"faults: {dict(faults) or 'none'}", flush=True)


def prepare(place: Path) -> dict[str, Path]:
    """The directory in which each mode begins; that of mode 2 has a former training."""
    first = make(place / "mode 1", epochs=3)
    second = copy(first, place / "mode 2")
    demand(run(second, "--mode", "1"))
    demand(run(second, "--mode", "2"))
    third = copy(second, place / "mode 3")
    fourth = copy(second, place / "MD")
    with open(fourth / "input.nn", "a") as file:
        file.write(DYNAMICS.replace("1500", "200"))
    return {path.name: path for path in (first, second, third, fourth)}


def checksums(folder: Path) -> dict[str, str]:
    """Of all files of a directory."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def judge(folder: Path, mode: str, before: dict[str, str], ended: Ended, good: bool = False) -> list[str]:
    """What went wrong: with `good` the run must end well; else it may say why it did not."""
    faults = ended.faults
    if ended.code not in (0, None) and "ERROR: " not in ended.text:
        faults.append(f"exit code {ended.code} without a message: {ended.text.strip()[-200:]}")
    if good and ended.code != 0:
        faults.append(f"exit code {ended.code}: {ended.text.strip()[-200:]}")
    after = checksums(folder)
    faults += [f"{name} was changed" for name in INPUTS if after.get(name) != before[name]]
    replaced = "Removed, of a former training" in ended.text  # whose potential the new one has replaced
    gone = [name for name in before if name not in after]
    faults += [f"{name} was lost" for name in gone if not (replaced and EPOCH_FILE.fullmatch(name))]
    again = run(folder, *MODES[mode])  # whatever was left, the same command works where nothing is in its way
    if again.code != 0:
        faults.append(f"cannot be repeated: {again.text.strip()[-200:]}")
    return faults


def limited(mode: str, source: Path, limit: int, value: int) -> Callable[[], list[str]]:
    """A run under a limit of the operating system."""

    def attempt() -> list[str]:
        folder = copy(source, source.parent / "run")
        before, largest = checksums(folder), resource.getrlimit(limit)[1]
        ended = start(folder, mode, lambda: resource.setrlimit(limit, (value, largest)))
        return judge(folder, mode, before, ended)

    return attempt


def start(
    folder: Path, mode: str, before: Callable[[], None] | None = None, path: str = "", files: int = 0
) -> Ended:
    """A run whose process calls `before` first, with a folder in front of its modules and files open."""
    here = environment()
    here["PYTHONPATH"] = ":".join(filter(None, [path, here["PYTHONPATH"]]))
    opened = [open("/dev/null") for _ in range(files)]  # noqa: SIM115  closed below
    try:
        done = subprocess.run(
            command(MODES[mode]),
            cwd=folder,
            env=here,
            preexec_fn=before,
            pass_fds=[file.fileno() for file in opened],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return Ended(None, (error.stdout or b"").decode(errors="replace"))
    finally:
        for file in opened:
            file.close()
    return Ended(done.returncode, done.stdout.decode(errors="replace"))


def crowded(mode: str, source: Path) -> list[str]:
    """A run that has inherited open files."""
    folder = copy(source, source.parent / "run")
    before, (soft, hard) = checksums(folder), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * MANY)), hard))
    return judge(folder, mode, before, start(folder, mode, files=MANY), good=True)


def backwards(mode: str, source: Path) -> list[str]:
    """A run whose clock goes an hour back whenever it is read."""
    folder, before = copy(source, source.parent / "run"), checksums(source)
    with tempfile.TemporaryDirectory() as path:
        (Path(path) / "sitecustomize.py").write_text(BACK)
        ended = start(folder, mode, path=path)
    return judge(folder, mode, before, ended, good=True)


def mounted(mode: str, source: Path, draw: random.Random, kind: str) -> list[str]:
    """A run on a small disk, or on one without writing."""
    folder = source.parent / "disk"
    folder.mkdir(exist_ok=True)
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    room = size + 100_000 + int(LARGEST[mode] * draw.random())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={room if kind == 'size' else 10**9}", "bnnp", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        print("(no right to mount)", end=" ")
        return []
    try:
        subprocess.run(["cp", "-r", f"{source}/.", str(folder)], check=True)
        before = checksums(folder)
        if kind == "ro":
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        ended = start(folder, mode)
        subprocess.run(["mount", "-o", "remount,rw,size=1g", str(folder)], check=True)
        faults = judge(folder, mode, before, ended)
        return faults + ["no error"] * (kind == "ro" and ended.code == 0)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    sys.exit(main())
