"""tools/output_hashes.py: what is taken out of printed text and what is not; a changed digit is found."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import output_hashes as tool
import pytest
from click.testing import CliRunner, Result


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("  date    2026-11-28 21:58:06\n", "  date    2027-01-02 03:04:05\n"),
        ("2 warnings; total time 9.9 s\n", "2 warnings; total time 1 min 02 s\n"),
        (
            "  counting 100 %  7/7  0.1 s\n",
            "  counting  40 %  3/7  1.1 s, about 1.5 s left\n  counting 100 %  7/7  12 s\n",
        ),
        ("   4   0.2087  32.46    0.8 s    0.2 s *\n", "   4   0.2087  32.46     11 s    2.6 s *\n"),
        ("  speed    43 us/atom (structure 159)\n", "  speed    7.5 us/atom (structure 2)\n"),
        (
            "  dynamics 100 %  7/7  0.4 s, 166 steps/s, 28.7 ns/day\n",
            "  dynamics 100 %  7/7  2 h 03 min, 9 steps/s, 1e+03 ns/day\n",
        ),
        ("bnnp 0.1.0   mode 2: training\n", "bnnp 0.2.0   mode 2: training\n"),
        ("Pair    | 1.9366     | 1.9366\n", "Pair    | 2.0      | 2.0\n"),
    ],
)
def test_what_depends_on_the_clock_or_the_version_goes(one: str, two: str) -> None:
    assert tool.normalized(one) == tool.normalized(two)


@pytest.mark.parametrize(
    "text",
    [
        "   4   0.2087  32.46   42.13    242.7    254.8    0.2331  9.6e-04    0.8 s    0.2 s *\n",
        "  stage 1      NVT, 30 steps of 2 fs (0.06 ps), 600 to 800 K by Nose-Hoover chains (100 fs)\n",
        "WARNING: step 35 (70 fs): raw sigma of a force on atom 18 279 meV/Angstrom\n",
        " ENERGY     4      0.032462      0.042133\n",
        "  bulk_300K           10   23.78  18.08    16.2    33.71       0.7847\n",
        "        10   612.4   -812.0731   -810.1  151.2  0.41\n",
        "exit code 1\n",
    ],
)
def test_no_digit_of_a_result_goes(text: str) -> None:
    """Each digit but those of durations, one after the other, is changed."""
    durations = [m.span() for m in tool.re.finditer(r"\d\.\d s\b", text)]
    for place, letter in enumerate(text):
        if letter.isdigit() and not any(start <= place < end for start, end in durations):
            changed = f"{text[:place]}{(int(letter) + 1) % 10}{text[place + 1 :]}"
            assert tool.normalized(changed) != tool.normalized(text)


def test_paths_go(tmp_path: Path) -> None:
    text = tool.normalized(f"not found in {tmp_path / 'a' / 'run'}; run mode 1 first", (tmp_path / "a",))
    assert text == "not found in FOLDER_0/run; run mode 1 first"


def test_keywords_replace_those_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "input.nn").write_text("epochs 9 # many\nepochs_more 1\ndropout_rate 0.1\n\n# end\n")
    tool.change_keywords(tmp_path / "input.nn", "epochs 3; -dropout_rate; group_weight a 1; group_weight b 2")
    lines = (tmp_path / "input.nn").read_text().splitlines()
    assert lines == ["epochs_more 1", "", "# end", "epochs 3", "group_weight a 1", "group_weight b 2"]


def test_every_case_begins_where_one_has_ended_before() -> None:
    cases = tool.read_cases(tool.CASES)
    order = tool.needed(cases, reversed(cases))
    assert sorted(order) == sorted(cases)
    for name in order:
        assert all(order.index(other) < order.index(name) for other in cases[name].needs)
        assert "/" not in cases[name].start or (tool.ROOT / cases[name].start).is_dir()


CASES = """
one < inputs/quickstart
    thin 100 input.data energy.out
    script state
        import numpy

        numpy.savez("state.npz", a=numpy.arange(3.0), b=numpy.zeros(2))
    echo total
        time 0.1 s

# a comment
two < one
    with epochs 7: cp input.nn used.nn
    ! test -e nothing
"""


def set_cases(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (folder / "cases.txt").write_text(text)
    monkeypatch.setattr(tool, "CASES", folder / "cases.txt")


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    set_cases(tmp_path, monkeypatch, CASES)
    return invoke("run", tmp_path / "before.json", "--work", tmp_path / "before", code=0)[1]


def invoke(*words: object, code: int) -> tuple[Result, Path]:
    result = CliRunner().invoke(tool.main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result, Path(str(words[1]))


def test_two_runs_agree_and_files_of_the_start_count_once(before: Path, tmp_path: Path) -> None:
    hashes = json.loads(before.read_text())["hashes"]
    written = {
        "one/energy.out",
        "one/state.npz:a",
        "one/state.npz:b",
        "two/used.nn",
        "two/02-test-e-nothing.log",
    }
    assert written <= set(hashes)
    assert "two/energy.out" not in hashes
    assert "one/input.data" not in hashes
    assert (
        (tmp_path / "before" / "one" / "03-echo-total-time-0-1-s.log")
        .read_text()
        .startswith("total time 0.1 s\n")
    )
    assert "epochs 7" in (tmp_path / "before" / "two" / "used.nn").read_text()
    assert "epochs 7" not in (tmp_path / "before" / "two" / "input.nn").read_text()
    _, after = invoke("run", tmp_path / "after.json", "--work", tmp_path / "after", code=0)
    result, _ = invoke("compare", before, after, code=0)
    assert f"{len(hashes)} of {len(hashes)} hashes agree" in result.output


def test_a_changed_digit_is_found_and_shown(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = CASES.replace("arange(3.0)", "arange(3.0) + 1e-15").replace(
        "    echo", "    sed -i 's/^energy /energy 1/' energy.out\n    echo"
    )
    set_cases(tmp_path, monkeypatch, changed)
    _, after = invoke("run", tmp_path / "after.json", "--only", "one", "--work", tmp_path / "after", code=0)
    output = invoke("compare", before, after, code=1)[0].output
    assert "differs: one/state.npz:a\n" in output
    assert "state.npz:b" not in output
    assert "differs: one/energy.out\n    line " in output
    assert ": energy 1" in output
    assert f"only in {before}: two\n" in output


def test_a_command_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_cases(tmp_path, monkeypatch, "one < inputs/quickstart\n    echo so && exit 4\n    ! true\n")
    output = invoke("run", tmp_path / "a.json", "--work", tmp_path / "a", code=0)[0].output
    assert "one: `echo so && exit 4` ends with code 4\nso" in output
    assert "one: `true` ends with code 0" in output


def test_a_number_an_attribute_and_a_type_of_an_hdf5_file_count(tmp_path: Path) -> None:
    found = []
    for k, (number, unit, kind) in enumerate(
        [(1.0, "eV", "f8"), (2.0, "eV", "f8"), (1.0, "Ha", "f8"), (1.0, "eV", "f4")]
    ):
        with h5py.File(tmp_path / f"{k}.h5", "w") as file:
            file.create_dataset("a/b", data=np.array([number, 3.0], dtype=kind))
            file["a"].attrs["unit"] = unit
        with h5py.File(tmp_path / f"{k}.h5") as file:
            found.append(dict(tool.tree_digests(file)))
    first, *others = found
    assert sorted(first) == ["a/b", "a@unit"]
    differing = [[name for name in first if first[name] != other[name]] for other in others]
    assert differing == [["a/b"], ["a@unit"], ["a/b"]]
