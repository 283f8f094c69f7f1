"""Text for people: nothing is lost or wider than asked for, and what is to be copied stays whole."""

from __future__ import annotations

import ast
import io
import itertools
import re
from pathlib import Path

import pytest

from bnnp.messages import WIDTH, columns, count, fold, percent, ranges

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


NOUNS = (
    *("atoms", "bytes", "columns", "components", "configurations", "directories", "elements", "energies"),
    *("epochs", "errors", "files", "frames", "functions", "groups", "labels", "layers", "letters", "lines"),
    *("loops", "masks", "members", "networks", "nodes", "numbers", "pairs", "points", "processes", "ranks"),
    *("rows", "runs", "samples", "stages", "steps", "structures", "threads", "trajectories", "values"),
    *("warnings", "weights", "words"),
)
NO_SINGULAR = {  # files in which a number before its noun is never one, or is no whole number
    "bnnp/descriptors/generate.py": {"n_elements"},
    "bnnp/io/descriptor_file.py": {"len(had)"},
    "bnnp/io/prediction.py": {"len(names)"},
    "bnnp/io/structure_block.py": {"size"},
    "bnnp/io/uncertainty_data.py": {"width"},
    "bnnp/modes/check/costs.py": {"found.steps + 1", "found.steps_per_second"},
    "bnnp/modes/doubts.py": {"FEWEST"},
    "bnnp/modes/predict/report.py": {"len(potential.sizes)"},
    "bnnp/modes/simulate/report.py": {"steps"},
    "bnnp/modes/simulate/run.py": {"parallel.size()"},
    "bnnp/modes/train/report.py": {"ranks", "batch"},
    "bnnp/parallel.py": {"announced"},
    "bnnp/settings/model.py": {"nodes[-1]"},
    "bnnp/training/checkpoint.py": {"test"},
    "tools/plotting/report.py": {"last"},
}
FOR_DEVELOPERS = (
    *("tools/benchmark", "tools/lammps_labels", "tools/make_benchmark", "tools/make_reference"),
    *("tools/make_vasp", "tools/output_", "tools/stillinger_weber"),
)
NO_NUMBER = re.compile(r"name|kind|shape|join|count\(|if |texts|joined|sizes$")


@pytest.mark.parametrize("folder", ["bnnp", "tools"])
def test_numbers_stand_before_their_nouns_by_count(folder: str) -> None:
    """No `{n} structures`, which would be "1 structures" one day, but `{count(n, 'structure')}`."""
    root, found = Path(__file__).resolve().parents[1], []
    noun = re.compile(rf" ([a-z-]+ )?({'|'.join(NOUNS)})\b")
    for path in sorted((root / folder).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name.startswith(FOR_DEVELOPERS):
            continue
        for text in ast.walk(ast.parse(path.read_text())):
            pieces = text.values if isinstance(text, ast.JoinedStr) else []
            for number, after in itertools.pairwise(pieces):
                if not isinstance(number, ast.FormattedValue) or not isinstance(after, ast.Constant):
                    continue
                value = ast.unparse(number.value)
                known = value in NO_SINGULAR.get(name, ()) or NO_NUMBER.search(value)
                if noun.match(str(after.value)) and not known:
                    found.append(f"{name} line {number.lineno}: {{{value}}}{str(after.value)[:30]}")
    assert not found


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.987, "99 %"), (0.0123, "1.2 %"), (12.0, "1200 %"), (0.0, "0 %")]
)
def test_percentages_have_no_exponent(share: float, text: str) -> None:
    assert percent(share) == text
