"""Medians and ranges over the seeds of results.txt, as tables of README.md."""

from __future__ import annotations

from pathlib import Path


def read_results(path: Path) -> list[dict[str, str]]:
    """The lines of the file by the names in its header."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    names = lines[0].split()
    return [dict(zip(names, line.split(), strict=True)) for line in lines[1:]]


def write_tables(results: Path, output: Path) -> None:
    output.write_text("")
