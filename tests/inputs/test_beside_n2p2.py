"""inputs/mlearn/beside_n2p2.py: a stand-in of n2p2 whose epochs take one and three seconds."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

CASE = Path(__file__).resolve().parents[2] / "inputs" / "mlearn"
TRAIN = """#!/bin/sh
i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done
for n in 0 1 2; do echo $n > weights.014.00000$n.out; done
echo "TIMING Finished setup: 4.32 seconds."
echo "TIMING      0        0    0.0   97.7    2.3       0.00       0.00"
echo "TIMING      1      103   95.5    3.7    0.9       1.00       1.00"
echo "TIMING      2      103   98.1    1.7    0.1       3.00       4.00"
"""


def test_times_and_files_of_the_epochs(tmp_path: Path) -> None:
    """Setup before all of them; a quarter of the processor time of nnp-train until the first has ended."""
    (tmp_path / "input.data").touch()
    for name, text in {"nnp-train": TRAIN, "nnp-scaling": "#!/bin/sh\ntouch scaling.data\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    theirs = runpy.run_path(str(CASE / "beside_n2p2.py"))["theirs"]
    found = theirs(tmp_path / "nnp-train", tmp_path, "elements Si\n", 2)
    assert [epoch for epoch, _, _ in found] == [0, 1, 2]
    begin, first, last = (seconds for _, seconds, _ in found)
    assert 0.0 <= begin < last
    assert first - begin == pytest.approx((last - begin) / 4.0)
    for epoch, _, place in found:
        assert (place / "weights.014.data").read_text() == f"{epoch}\n"
        assert (place / "scaling.data").exists()
        assert "epochs 2\n" in (place / "input.nn").read_text()
