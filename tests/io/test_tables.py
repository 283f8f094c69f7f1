"""Tables as text: written and read again, and what is told of damaged ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bnnp.errors import InputError
from bnnp.io.tables import read_table, write_table


def test_what_is_written_is_read(tmp_path: Path) -> None:
    columns = [np.array([1.0, 2.5]), np.array([-3e-12, np.nan])]
    write_table(tmp_path / "a.out", ["time", "J_x"], columns, "fs; eV")
    found, text = read_table(tmp_path / "a.out")
    assert list(found) == ["time", "J_x"]
    assert text == "fs; eV"
    np.testing.assert_array_equal(list(found.values()), columns)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-30], "line 4: is cut short"),
        (lambda text: text.replace("#", "", 1), "its first line should be"),
    ],
)
def test_damaged_series_are_told(damage: Callable[[str], str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "heat_flux.out"
    text = "# step time J_x | fs\n" + "".join(f"{step} {step:.10f} {step:.20f}\n" for step in range(3))
    path.write_text(damage(text))
    with pytest.raises(InputError, match=message):
        read_table(path)
