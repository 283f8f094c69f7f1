"""inputs/tutorial: the commands of its README and then of its how-to, word for word, with shorter runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "inputs" / "tutorial"
SHORTER = (  # pattern, replacement: the only differences to what the README says
    (r"--frames 15", "--frames 4"),
)
SETTINGS = {"settings.nn": (r"^epochs .*$", "epochs 3\nthreads 1"), "md.nn": (r"2000 2000", "30 30")}


def commands() -> list[str]:
    """All commands of both pages, in order; a block of Python becomes one."""
    pages = "".join((TUTORIAL / name).read_text() for name in ("README.md", "how_to.md"))
    found = []
    for language, block in re.findall(r"^```(sh|python)\n(.*?)^```", pages, flags=re.DOTALL | re.MULTILINE):
        found += block.splitlines() if language == "sh" else [f"python -c {shlex.quote(block)}"]
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of which only the inputs are copies; `bnnp` and `python` are those of the tests."""
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(TUTORIAL, project / "inputs" / "tutorial")
    (project / "tools").symlink_to(ROOT / "tools")
    for name, (pattern, replacement) in SETTINGS.items():
        path = project / "inputs" / "tutorial" / name
        text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
        assert count == 1
        path.write_text(text)
    programs = project / "programs"
    programs.mkdir()
    for name, arguments in (("python", ""), ("bnnp", "-m bnnp ")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
        (programs / name).chmod(0o755)
    return project


@pytest.mark.slow
def test_every_command_of_the_tutorial(project: Path) -> None:
    lines = commands()
    for pattern, replacement in SHORTER:
        changed = [re.sub(pattern, replacement, line) for line in lines]
        assert changed != lines
        lines = changed
    path = f"{project / 'programs'}:{os.environ['PATH']}"
    library = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(lines)],
        cwd=project,
        env={**os.environ, "PATH": path, "PYTHONPATH": library},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    run = project / "tutorial_run"
    for name in (
        "symmetry_distributions_Si",
        "training_curves",
        "prediction_errors",
        "prediction_parity",
        "uncertainty",
    ):
        assert (run / "pictures" / f"{name}.png").is_file()
    assert (run / "report.html").stat().st_size > 100_000
    for name in ("scores/uncertainty.png", "pictures/rdf.png", "pictures/adf.png", "pictures/md.png"):
        assert (run / name).is_file()
    assert (run / "best.nn").read_text().count("symfunction_short Si") == 20
    assert len((run / "md" / "md.out").read_text().splitlines()) > 6
    assert "standard deviations        calibrated (hybrid)" in done.stdout
    assert "electronic loop not converged" in done.stdout
    assert "cut off" in done.stdout
