"""The executable as a user meets it: help, version, exit codes, and no traceback for his own mistakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from bnnp import __version__, cli, command
from bnnp.errors import InputError, SignalStop, UncertaintyStop
from bnnp.run import Run

INPUT = """\
number_of_elements 1
elements H
global_hidden_layers_short 1
global_nodes_short 2
global_activation_short t l
epochs 1
symfunction_short H 2 H 0.1 0.0 6.0
"""
DATA = """\
begin
atom 0.0 0.0 0.0 H 0.0 0.0 0.0 0.0 0.1
atom 0.0 0.0 1.4 H 0.0 0.0 0.0 0.0 -0.1
energy -1.1
charge 0.0
end
"""


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with a small, legal case; threads and environment stay as they are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.parallel, "pin_threads", lambda threads: None)
    Path("input.nn").write_text(INPUT)
    Path("input.data").write_text(DATA)


def bnnp(*words: str) -> Result:
    return CliRunner().invoke(cli.main, words)


def test_the_installed_command() -> None:
    """One real process: the entry point is there and quick enough not to load heavy libraries."""
    code = "import sys, bnnp.cli; assert not {'torch', 'ase', 'numpy', 'h5py'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    result = subprocess.run(
        [sys.executable, "-m", "bnnp", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert result.stdout == f"bnnp {__version__}\n"


def test_help() -> None:
    result = bnnp("--help")
    assert result.exit_code == 0
    for option in ("--mode", "--restart", "--check", "--input", "--data", "--keywords", "--version"):
        assert option in result.stdout


def test_keywords() -> None:
    assert "dropout_rate" in bnnp("--keywords").stdout
    assert bnnp("--keywords", "symfunction").stdout.startswith("symfunction_short X type")
    unknown = bnnp("--keywords", "droput_rate")
    assert unknown.exit_code == 1
    assert "did you mean `dropout_rate`?" in unknown.stderr


@pytest.mark.parametrize("verb", ["loop", "convert", "vasp", "functions", "select", "analyze", "plot"])
def test_verbs_are_the_scripts_of_tools(verb: str) -> None:
    assert f"  {verb} " in bnnp("--help").output
    found = bnnp(verb, "--help")
    assert found.exit_code == 0
    assert f"bnnp {verb} [OPTIONS]" in found.output


@pytest.mark.parametrize(
    ("words", "message", "advice"),
    [
        (("convrt",), "did you mean `bnnp convert`?", "bnnp"),
        (("x", "y"), "there are auto, loop, convert,", "bnnp"),
        (("plot", "reprot"), "did you mean `bnnp plot report`?", "bnnp plot"),
        (
            ("convert", "--mode", "3", "a", "b"),
            "an option of `bnnp` without a verb",
            "bnnp convert",
        ),
        (("select", "--number", "0", "a", "b"), "'--number'", "bnnp select"),
        (("functions", "Ge"), "--cutoff is missing", "bnnp functions"),
        (("vasp",), "Missing argument", "bnnp vasp"),
    ],
)
def test_wrong_use_is_told_in_two_lines(words: tuple[str, ...], message: str, advice: str) -> None:
    result = bnnp(*words)
    assert result.exit_code == 2
    first, second = result.stderr.splitlines()
    assert first.startswith("ERROR: ")
    assert message in first
    assert second == f"See `{advice} --help`."


def test_verbs_are_not_imported_for_the_help() -> None:
    code = "import sys, click.testing, bnnp.cli as c\nclick.testing.CliRunner().invoke(c.main, ['--help'])\n"
    code += "assert not {'convert', 'plot', 'ase'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_verb_runs_and_fails_like_a_mode() -> None:
    Path("cell.xyz").write_text('1\nLattice="4 0 0 0 4 0 0 0 4" pbc="T T T" energy=-1.5\nAr 0 0 0\n')
    found = bnnp("convert", "--no-labels", "cell.xyz", "new.data")
    assert found.exit_code == 0, found.output
    assert "atom" in Path("new.data").read_text()
    missing = bnnp("convert", "nothing.xyz", "other.data")
    assert missing.exit_code != 0
    assert "nothing.xyz" in missing.output
    assert "Traceback" not in missing.output


@pytest.mark.parametrize(
    "words",
    [("--mode", "4"), ("--mode", "train"), ("--modus", "1"), ("input.nn",), ("--restart", "--mode", "1")],
)
def test_wrong_use_is_exit_code_2(words: tuple[str, ...]) -> None:
    result = bnnp(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("ERROR: ")
    assert result.stderr.endswith("\nSee `bnnp --help`.\n")
    assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("epochs 1", "there already"),
        ("droput_rate 0.1", "did you mean `dropout_rate`"),
        (
            "use_electrostatics",
            "needs `nnp_gen 3`, `nnp_gen 4` or fixed_charge: bnnp has charges",
        ),
        ("cutoff_type 1 2 3", "perhaps alpha"),
    ],
)
def test_mistakes_in_the_settings_are_exit_code_1(lines: str, message: str) -> None:
    Path("input.nn").write_text(INPUT + lines + "\n")
    result = bnnp("--mode", "1")
    assert result.exit_code == 1
    assert result.stderr.startswith("ERROR: input.nn line 8")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_no_mode_anywhere() -> None:
    result = bnnp()
    assert result.exit_code == 1
    assert "bnnp --mode 1" in result.stderr


def test_no_settings() -> None:
    Path("input.nn").unlink()
    result = bnnp("--mode", "1")
    assert result.exit_code == 1
    assert "input.nn: no such file" in result.stderr


def test_no_structures() -> None:
    Path("input.data").unlink()
    result = bnnp("--mode", "1")
    assert result.exit_code == 1
    assert "input.data: no such file" in result.stderr
    assert sorted(os.listdir()) == ["input.nn"]


def test_other_names_for_the_files() -> None:
    Path("input.nn").rename("other.nn")
    Path("input.data").rename("other.data")
    result = bnnp("--check", "--input", "other.nn", "--data", "other.data")
    assert result.exit_code == 0, result.stderr
    assert "other.nn line 7" not in result.stderr
    Path("other.data").write_text(DATA.replace("H 0.0", "He 0.0"))
    wrong = bnnp("--check", "--input", "other.nn", "--data", "other.data")
    assert "He is not among `elements` of other.nn line 2" in wrong.stderr
    assert "input.nn" not in wrong.stderr


def test_restart_names_what_was_typed() -> None:
    said = bnnp("--restart", "--mode", "3")
    assert said.exit_code == 2
    assert "mode 3" in said.stderr
    assert "runner_mode" not in said.stderr


def test_runner_mode_counts_without_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, str, int]] = []

    class Mode:
        def __init__(self, name: str) -> None:
            self.name = name

        def __getattr__(self, function: str) -> Callable[[Run], None]:
            return lambda run: called.append((self.name, function, run.settings.mode))

    monkeypatch.setattr(cli.importlib, "import_module", Mode)
    Path("input.nn").write_text(INPUT + "runner_mode 3\n")
    assert bnnp().exit_code == 0
    assert bnnp("--mode", "2").exit_code == 0
    assert called == [("bnnp.modes.predict.run", "predict", 3), ("bnnp.modes.train.run", "train", 2)]


@pytest.mark.parametrize("mode", [1, 3])
def test_restart_with_another_mode_in_the_file_is_exit_code_2(mode: int) -> None:
    Path("input.nn").write_text(INPUT + f"runner_mode {mode}\n")
    result = bnnp("--restart")
    assert result.exit_code == 2
    assert f"runner_mode {mode}" in result.stderr
    assert sorted(os.listdir()) == ["input.data", "input.nn"]


@pytest.mark.parametrize("mode", ["1", "3"])
def test_terminate_ends_in_order(mode: str) -> None:
    """A batch system's SIGTERM: one sentence, exit code 143, no half-written file left."""
    code = (
        "import os, signal, importlib, bnnp.cli as cli\n"
        "from bnnp.io.output import replace_file\n"
        "class Mode:\n"
        "    def compute(run):\n"
        "        with replace_file('energy.out') as file:\n"
        "            file.write('half')\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "            while True: pass\n"
        "    predict = compute\n"
        "importlib.import_module = lambda name: Mode\n"
        f"cli.main(['--mode', '{mode}'])\n"
    )
    Path("input.nn").write_text(INPUT)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 143, done.stderr
    assert done.stderr.startswith("Ended by signal SIGTERM.")
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir()) == ["input.data", "input.nn"]


@pytest.mark.parametrize(
    ("arguments", "continues"),
    [
        (["--mode", "1"], "Run again, mode 1 continues"),
        (["--mode", "2"], "With --restart the training continues"),
        (["--mode", "3"], "a prediction is run again"),
        (["--check"], ""),
        (["convert", "a", "b"], ""),
    ],
)
def test_what_an_interruption_leaves(
    arguments: list[str], continues: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verb has nothing that could be continued."""

    def interrupted(*words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    monkeypatch.setattr(
        cli.Program, "get_command", lambda *words: click.Command("convert", callback=interrupted)
    )
    result = bnnp(*arguments[: 1 if arguments[0] == "convert" else 2])
    assert result.exit_code == 130
    assert "left as they were before." in result.stderr
    assert continues in result.stderr
    assert continues or result.stderr.endswith("left as they were before.\n")


def test_a_verb_interrupted_while_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.importlib, "import_module", interrupted)
    result = bnnp("convert", "a", "b")
    assert result.exit_code == 130
    assert result.stderr.endswith("left as they were before.\n")


def raising(error: BaseException) -> Result:
    """The command as it ends when the work ends with `error`."""

    @click.command()
    def main() -> None:
        def action() -> None:
            raise error

        command.guard(action)

    return CliRunner().invoke(main, [])


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("input.nn line 3: no"), 1, "ERROR: input.nn line 3: no\n"),
        (UncertaintyStop("too uncertain"), 3, "ERROR: too uncertain\n"),
        (MemoryError(), 1, "out of memory"),
        (
            OSError(28, "No space left on device", "weights.001.data"),
            1,
            "weights.001.data: No space left on device",
        ),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (SignalStop(signal.SIGTERM), 143, ""),  # the log has said it
    ],
)
def test_failures_become_a_sentence(error: BaseException, code: int, message: str) -> None:
    result = raising(error)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["--mode", "7"], ["convert", "a", "b"]])
def test_a_failure_leaves_the_signals_as_they_were(arguments: list[str]) -> None:
    """The command may be part of another program, which Ctrl-C and SIGTERM shall still end."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert bnnp(*arguments).exit_code != 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_our_own_mistakes_say_so() -> None:
    result = raising(ZeroDivisionError("division by zero"))
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "This is a bug in bnnp" in result.stderr


def test_an_interruption_while_the_command_is_loaded_has_no_traceback(tmp_path: Path) -> None:
    """A module named click that raises what Ctrl-C raises, found before the package."""
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from bnnp.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("dropped", [True, False])
def test_a_signal_whose_exception_is_lost(name: str, code: int, dropped: bool) -> None:
    """Python ignores, and prints, what a handler raises within `__del__`; C makes an ImportError of it."""
    program = f"""
import os, signal, time
from bnnp import command

class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        time.sleep(0.01)

def action():
    if {dropped}:
        Dying()
        time.sleep(20)
    try:
        os.kill(os.getpid(), signal.{name})
        time.sleep(20)
    except BaseException:
        raise ImportError("initialization failed") from None

signal.signal(signal.SIGINT, signal.default_int_handler)
command.guard(action)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "left as they" in done.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_behind_the_end_changes_nothing(name: str) -> None:
    """The work is done, and its handlers are about to be put back."""
    program = f"""
import os, signal
from bnnp import command

restore = command._Signals.restore

def late(self):
    os.kill(os.getpid(), signal.{name})
    restore(self)

command._Signals.restore = late
signal.signal(signal.SIGINT, signal.default_int_handler)
command.guard(lambda: print("done"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_an_interruption_while_the_command_line_is_read_has_no_traceback() -> None:
    def interrupted(ctx: click.Context, option: click.Parameter, value: str) -> str:
        raise KeyboardInterrupt

    option = click.Option(["--word"], callback=interrupted)
    with pytest.raises(SystemExit) as ended:
        command.Command("some", params=[option], callback=lambda word: None).main(["--word", "x"])
    assert ended.value.code == 130
