"""Every command that a README shows: the program accepts its words, and a test runs it."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import click
import pytest

from bnnp import cli

ROOT = Path(__file__).resolve().parents[1]
READMES = [ROOT / "README.md", *sorted((ROOT / "inputs").glob("*/README.md"))]
PROGRAMS = ("bnnp", "python", "sh", "mpiexec", "srun", "sbatch")
TRANSLATED = {"${t}K": "300K", "${t}K,": "300K", "$case": "water"}
TRANSLATED |= {f"compare_arms.py {made}": "compare_arms.py ." for made in ("tellurides", "refractory")}
RUN_BY = (  # a piece of the command, and the test that runs it, or why none does
    (r"^sbatch|^srun", "needs a cluster"),
    (r"^mpiexec -n N$", "a pattern"),
    (r"quickstart\.sh|tools/test\.sh|environment\.sh", "makes an environment"),
    (r"pictures\.py|sizes\.py", "tests/inputs/test_paper_gete.py"),
    (r"study\.py --labels (snap|dft FOLDER$)", "tests/inputs/test_lithium.py"),
    (r"gete|study\.py|prepare\.sh|drift\.py|FOLDER", "tests/inputs/test_inputs.py"),
    (r"lmp -in|--lammps-plugin", "tests/interfaces/test_lammps.py"),
    (r"--export", "tests/interfaces/test_hdnnp.py"),
    (r"make_benchmark_cases|benchmark\.py", "tests/tools/test_benchmark.py"),
    (r"make_reference_data", "tests/tools/test_reference_data.py"),
    (r"compare_arms", "tests/tools/test_compare_arms.py"),
    (r"lammps_labels", "tests/tools/test_lammps_labels.py"),
    (r"prepare\.py \w", "tests/inputs/test_paper_alloy.py"),
    (r"prepare\.py", "tests/inputs/test_inputs.py"),
    (r"make_vasp_example", "tests/tools/test_make_vasp_example.py"),
    (r"vasp2data", "tests/tools/test_vasp2data.py"),
    (r"convert\.py --check", "tests/tools/test_data_check.py"),
    (r"convert\.py", "tests/tools/test_convert.py"),
    (r"select_structures", "tests/tools/test_select_structures.py"),
    (r"make_symmetry_functions", "tests/tools/test_make_symmetry_functions.py"),
    (r"stillinger_weber", "tests/tools/test_stillinger_weber.py"),
    (r"analyze_trajectory", "tests/tools/test_analyze_trajectory.py"),
    (r"plot\.py uncertainty", "tests/tools/test_plot_uncertainty.py"),
    (r"plot\.py training", "tests/tools/test_plot_training.py"),
    (r"plot\.py (rdf|adf|md)", "tests/tools/test_plot_dynamics.py"),
    (r"plot\.py symmetry", "tests/tools/test_plot_symmetry.py"),
    (r"plot\.py (errors|parity|report)", "tests/tools/test_plot_prediction.py"),
    (r"bnnp --check", "tests/modes/test_check.py"),
    (r"bnnp --keywords", "tests/test_cli.py"),
    (r"bnnp --mode 2 --restart", "tests/modes/test_train.py"),
    (r"bnnp --mode 3 --restart", "tests/modes/test_simulate.py"),
    (r"bnnp --mode [123]", "tests/test_end_to_end.py"),
)


def shown_commands(path: Path) -> list[str]:
    """Commands of fenced and indented blocks and in backticks, without remarks beside them."""
    text = path.read_text(encoding="utf-8")
    fenced = [
        line for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()
    ]
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = re.findall(r"^ {4,}(\S.*)$", re.sub(r"\\\n\s*", "", text), flags=re.MULTILINE)
    inline = re.findall(r"`([^`\n]+)`", text)
    found = []
    for line in [*fenced, *indented, *inline]:
        for piece in re.split(r"\s{2,}|\s+#|\s\(", line.strip()):
            words = piece.strip().split()
            if len(words) > 1 and words[0] in PROGRAMS:
                found.append(piece.strip())
    return found


COMMANDS = [(path, command) for path in READMES for command in dict.fromkeys(shown_commands(path))]


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


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[f"{p.parent.name}: {c}" for p, c in COMMANDS])
def test_shown_command_is_run_by_a_test(path: Path, command: str) -> None:
    chosen = next((test for pattern, test in RUN_BY if re.search(pattern, command)), None)
    assert chosen is not None, f"{path}: no test runs `{command}`; name one in RUN_BY"
    assert not chosen.endswith(".py") or (ROOT / chosen).is_file()


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[f"{p.parent.name}: {c}" for p, c in COMMANDS])
def test_shown_command_is_accepted(path: Path, command: str) -> None:
    """Scripts are there, and click knows every option and the number of arguments."""
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
        run = ROOT / "run"  # of the tutorial, and its md
        places = [(folder / script).resolve() for folder in (path.parent, ROOT, run, run / "md")]
        file = next((place for place in places if place.is_file()), None)
        assert file is not None, f"{path}: `{command}`: there is no {script}"
        if file.suffix == ".py" and file.parent == ROOT / "tools":
            parse(importlib.import_module(file.stem).main, words[2:])


def parse(command: click.Command, words: list[str]) -> None:
    """Let click read the words, of a verb of a group too; nothing is run."""
    if isinstance(command, click.Group):
        command = command.commands[words[0]]
        words = words[1:]
    command.make_context(command.name or "", [word.strip(",;") for word in words])


def test_every_folder_of_inputs_has_a_readme() -> None:
    folders = {path.name for path in (ROOT / "inputs").iterdir() if path.is_dir()}
    assert folders == {path.parent.name for path in READMES[1:]}


def test_links_of_readmes_lead_somewhere() -> None:
    for path in READMES:
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (path.parent / link).exists(), f"{path}: {link}"


def test_messages_of_the_table_exist() -> None:
    """Every message of the table of README stands in the source, up to what is filled in."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("## Messages")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert len(rows) > 10
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bnnp").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # sentences that go on in the next line
    for row in rows:
        for message in re.findall(r"`([^`]+)`", row.split(" | ")[0]):
            for piece in message.split(" ... "):
                assert piece in source, f"no message says `{piece}`"
