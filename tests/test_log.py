"""The log: aligned, wrapped, without escape codes in a file, and silent on other ranks."""

from __future__ import annotations

import io
import os
import pty
import select
from pathlib import Path

import pytest

from bnnp import log as log_module
from bnnp.log import WIDTH, Log, byte_count, duration
from bnnp.settings.settings import load_settings

INPUT = """\
number_of_elements 1
elements H
atom_energy H -0.5
use_short_nn
random_number_type 6
symfunction_short H 2 H 0.1 0.0 6.0
"""


def test_header_tells_units_elements_warnings_and_ignored_keywords(tmp_path: Path) -> None:
    path = tmp_path / "input.nn"
    path.write_text(INPUT)
    stream = io.StringIO()
    log = Log(stream, enabled=True)
    log.header(load_settings(path, 1), kernel="x86-64-v3", threads=2)
    text = stream.getvalue()
    for expected in ("mode 1", "bohr, hartree", "x86-64-v3", "2 threads", "1 of H", "largest cutoff 6 bohr"):
        assert expected in text
    assert "NO effect" in " ".join(text.split())
    assert (
        "note: accepted without effect:\n      random_number_type               choice of the random" in text
    )
    assert log.n_warnings == 3  # atom_energy, test_fraction, random_seed
    # file names may be as long as they like, everything else keeps to the width
    assert all(len(line) <= WIDTH for line in text.splitlines() if str(tmp_path) not in line)


def test_keywords_of_other_methods_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "input.nn"
    path.write_text(INPUT + "epochs 1\noptimizer kalman\nkalman_eta 1\nlearning_rate 1\n")
    stream = io.StringIO()
    Log(stream, enabled=True).header(load_settings(path, 1))
    assert "because not of" not in stream.getvalue()  # mode 1 has no optimizer
    stream = io.StringIO()
    Log(stream, enabled=True).header(load_settings(path, mode=None, mode_required=False))
    text = " ".join(stream.getvalue().split())
    assert "because not of optimizer kalman, kalman_updates joint: kalman_eta, learning_rate note:" in text


def test_idle_keywords_of_charges_are_not_blamed_on_the_optimizer(tmp_path: Path) -> None:
    path = tmp_path / "input.nn"
    path.write_text(INPUT + "epochs 1\noptimizer adam\nkalman_eta 1\ndipole_weight 2\n")
    stream = io.StringIO()
    Log(stream, enabled=True).header(load_settings(path, mode=None, mode_required=False))
    text = " ".join(stream.getvalue().split())
    assert "without effect on the charges of this input.nn: dipole_weight note:" in text
    assert "because not of optimizer adam: kalman_eta note:" in text


def test_table_aligns_numbers_right_and_text_left() -> None:
    stream = io.StringIO()
    Log(stream, enabled=True).table(("name", "n", "x"), [("a", 5, 0.5), ("long name", 12345, -1.25)])
    assert stream.getvalue().splitlines() == [
        "  name           n      x",
        "  ---------  -----  -----",
        "  a              5    0.5",
        "  long name  12345  -1.25",
    ]


def test_other_ranks_are_silent() -> None:
    stream = io.StringIO()
    log = Log(stream, enabled=False)
    log.section("title")
    log.warn("warning")
    log.table(("a",), [(1,)])
    assert list(log.progress(range(3), "loop")) == [0, 1, 2]
    log.close(1)
    assert stream.getvalue() == ""


def test_end_is_what_other_programs_look_for() -> None:
    stream = io.StringIO()
    log = Log(stream, enabled=True)
    log.warn("something")
    log.raw("### NNP EXTRAPOLATION WARNING ### " + "x" * WIDTH)  # in the words of n2p2, in one line
    log.raw("WARNING: eshort is .lt. eshortmin")
    log.close(2)
    last = stream.getvalue().splitlines()[-5:]
    assert any("Normal termination of RuNNer" in line for line in last)
    assert any("3 warnings; total time" in line for line in last)


def test_progress_in_a_file_is_a_line_each_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "PAUSE", -1.0)
    stream = io.StringIO()
    assert sum(Log(stream, enabled=True).progress(range(200), "counting")) == 199 * 100
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("  counting  10 %  20/200")
    assert lines[-1].startswith("  counting 100 %  200/200")
    assert "\r" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_short_loops_take_one_line_in_a_file() -> None:
    stream = io.StringIO()
    list(Log(stream, enabled=True).progress(range(200), "counting"))
    assert len(stream.getvalue().splitlines()) == 1


def test_progress_of_nothing() -> None:
    stream = io.StringIO()
    assert list(Log(stream, enabled=True).progress([], "counting")) == []
    assert stream.getvalue() == ""


def test_progress_by_steps() -> None:
    stream = io.StringIO()
    with Log(stream, enabled=True).progress(description="epochs", total=4) as bar:
        bar.update(3)
        bar.update()
    assert stream.getvalue().startswith("  epochs 100 %  4/4")


def test_progress_on_a_terminal_is_a_bar() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        list(Log(terminal, enabled=True).progress(range(5), "counting"))
        terminal.flush()
        shown = ""
        while (
            "100%" not in shown and select.select([leader], [], [], 5.0)[0]
        ):  # the terminal delivers in pieces
            shown += os.read(leader, 4096).decode()
    os.close(leader)
    assert "counting: 100%" in shown
    assert "\r" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (0.4, "0.4 s"),
        (9.99, "10 s"),
        (59.7, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (512, "512 B"),
        (999.7, "1 kB"),
        (1500, "1.5 kB"),
        (4e9, "4 GB"),
        (2.5e12, "2.5 TB"),
        (2e15, "2e+03 TB"),
    ],
)
def test_byte_counts(count: float, text: str) -> None:
    assert byte_count(count) == text


def test_nothing_is_wider_than_a_narrow_terminal() -> None:
    """Long items, notes and tables go on below; a table that is too wide repeats its first column."""
    stream = io.StringIO()
    log = Log(stream, enabled=True)
    words = "word " * 40
    log.item("name", words)
    log.line("  " + words)
    log.warn(words)
    log.table(("no", "symfunction_short"), [(1, words)])
    columns = [f"column {k}" for k in range(12)]
    log.table(columns, [("first", *range(11)), ("second", *range(11))])
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= WIDTH == 80
    assert text.count("word") == 4 * 40
    assert sum(line.startswith("  first ") for line in text.splitlines()) == 2
    for k in range(12):
        assert (text.count(f"column {k}\n") + text.count(f"column {k} ")) == (2 if k == 0 else 1)
