"""Text for people: nothing is lost or wider than asked for, and what is to be copied stays whole."""

from __future__ import annotations

import io

import pytest

from bnnp.messages import WIDTH, columns, count, fold, ranges

PATH = "/scratch/a/long/path/of/a-hundred/characters" + "/deeper" * 8
COMMAND = "`bnnp convert --skip 500 --every 20 run_900K.extxyz input.data`"


def test_lines_are_folded_between_words() -> None:
    text = "  12 of 400 structures were left out, as their electronic loops did not converge in time"
    folded = fold(text, 40)
    assert max(map(len, folded.splitlines())) <= 40
    assert all(line.startswith("  ") for line in folded.splitlines())
    assert folded.split() == text.split()


def test_lines_that_fit_stay() -> None:
    text = "  name    12\n\n  other  340"
    assert fold(text, 40) == text


@pytest.mark.parametrize("word", [PATH, COMMAND])
def test_paths_and_commands_stay_whole(word: str) -> None:
    for start in range(1, 60, 7):
        folded = fold(f"{'x' * start} then run {word}; or say what else", 60)
        assert any(word in line for line in folded.splitlines())


def test_prefix_and_indent() -> None:
    folded = fold("one two three four five six seven eight nine ten", 40, "WARNING: ").splitlines()
    assert folded == ["WARNING: one two three four five six", "         seven eight nine ten"]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "57")
    assert columns(Screen()) == 57
    monkeypatch.delenv("COLUMNS")
    assert columns(io.StringIO()) == WIDTH == 80


def test_numbers_with_their_nouns() -> None:
    assert [count(n, "structure") for n in (0, 1, 2)] == ["0 structures", "1 structure", "2 structures"]
    assert count(2, "frequency", "frequencies") == "2 frequencies"
    assert ranges([5, 1, 2, 3, 9]) == "1-3, 5, 9"
