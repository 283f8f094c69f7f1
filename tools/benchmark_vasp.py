"""Speed and memory of bnnp vasp: a large OUTCAR, vasprun.xml or ML_AB, with the steps of SOURCE.

\b
python tools/benchmark_vasp.py OUTCAR.gz --megabytes 1000
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import count
from pathlib import Path

import click
from vasp.compressed import open_stream

ITERATION = re.compile(rb"Iteration +(\d+)\(")


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--megabytes", default=200, show_default=True, help="Size of the file to convert.")
@click.option("--every", default=1, show_default=True, help="Take every N-th step.")
@click.option("--repeat", default=3, show_default=True, help="The fastest of so many runs counts.")
def main(source: Path, megabytes: int, every: int, repeat: int) -> None:
    """Build the file, convert it, tell the speed."""
    tool = Path(__file__).with_name("vasp2data.py")
    with tempfile.TemporaryDirectory() as folder:
        large, data = Path(folder) / "large", Path(folder) / "input.data"
        repeat_steps(source, large, megabytes * 10**6)
        command = [sys.executable, str(tool), "--every", str(every), "--overwrite", str(large), str(data)]
        runs = [spent(command) for _ in range(repeat)]
        wall, cpu = min(run[0] for run in runs), min(run[1] for run in runs)
        size = large.stat().st_size / 1e6
        click.echo(f"{size:.0f} MB to {data.stat().st_size / 1e6:.0f} MB of input.data")
        click.echo(f"wall time {wall:7.2f} s {size / wall:8.1f} MB/s")
        click.echo(f"CPU time  {cpu:7.2f} s {size / cpu:8.1f} MB/s")
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of the largest process
        click.echo(f"memory    {memory:7.0f} MiB at most")


def repeat_steps(source: Path, target: Path, size: int) -> None:
    """Write the head of a VASP file, and all steps but the first (all of ML_AB) again and again."""
    with open_stream(source) as stream:
        text = b""
        while piece := stream.read(2**20):
            text += piece
    if b"The number of configurations" in text:
        begin, stop = text.index(b"Configuration num."), len(text)
    else:
        end = b"</calculation>" if b"<modeling" in text else b"LOOP+"
        begin, stop = text.index(end) + len(end), text.rindex(end) + len(end)
    numbers = [int(number) for number in ITERATION.findall(text)]
    with open(target, "wb") as file:
        file.write(text[:begin])
        for repetition in count():
            file.write(ITERATION.sub(partial(_later, repetition * max(numbers, default=0)), text[begin:stop]))
            if file.tell() >= size:
                break
        file.write(text[stop:])


def _later(shift: int, match: re.Match[bytes]) -> bytes:
    """The number of a step, so many steps later."""
    return b"Iteration %6d(" % (int(match[1]) + shift)


def spent(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
