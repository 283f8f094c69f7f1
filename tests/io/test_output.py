"""Files that appear whole or not at all, and what the user is told to do about it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from bnnp.errors import OutputError
from bnnp.io.output import cannot_write, make_folder, replace_file


def test_a_failed_block_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "energy.out"
    path.write_text("former")

    def work() -> None:
        with replace_file(path) as file:
            file.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_of_that_name_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "energy.out").mkdir()
    worked = False
    with (
        pytest.raises(OutputError, match="energy.out: .*Is a directory. Move away"),
        replace_file(tmp_path / "energy.out"),
    ):
        worked = True
    assert not worked


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Free space"),
        (errno.EDQUOT, "Free space"),
        (errno.EACCES, "directory you may write to"),
        (errno.EEXIST, "Move away or rename"),
        (errno.EIO, "Look at the directory and the disk"),
    ],
)
def test_advice_fits_the_reason(number: int, advice: str) -> None:
    message = str(cannot_write("weights.001.data", OSError(number, os.strerror(number))))
    assert message.startswith("weights.001.data: cannot be written in ")
    assert os.strerror(number) in message
    assert ("Free space" in message) == (advice == "Free space")
    assert advice in message


def test_a_folder_is_made_with_those_above_it_or_the_reason_is_told(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken: .*File exists. Move away or rename"):
        make_folder(tmp_path / "taken")
    with pytest.raises(OutputError, match="below: .*Not a directory"):
        make_folder(tmp_path / "taken" / "below")


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    """The same holds for /dev/null, which a rename would turn into a plain file for the whole machine."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(path.read_text()))
    reader.start()
    with replace_file(path) as file:
        file.write("energies")
    reader.join(timeout=10.0)
    assert found == ["energies"]
    assert path.is_fifo()
