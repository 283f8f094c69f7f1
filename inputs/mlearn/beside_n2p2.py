"""Errors against training time beside n2p2's nnp-train: same data, same functions, same size of networks.

    python beside_n2p2.py NNP_TRAIN FOLDER TEST [--epochs 10] [--budgets 1 2 4 8]

FOLDER is a training of study.py (input.data, input.nn.auto); NNP_TRAIN is n2p2's program, with nnp-scaling
beside it; TEST an input.data that neither has seen. n2p2 trains with the words of its own examples, and is
judged after each epoch by its own files, which mode 3 of bnnp reads. bnnp trains anew for each number of
epochs, by its defaults. Processor time of one thread: nnp-scaling (which keeps the symmetry functions in
memory again in nnp-train) and nnp-train up to the end of the epoch; modes 1 and 2 without the choice of the
functions. Results are in n2p2/ and bnnp_EPOCHS/ below FOLDER.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from bnnp.io.prediction import read_columns

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from study_tools import rms, run_bnnp  # noqa: E402

HEAD = """number_of_elements {count}
elements {elements}
cutoff_type 1
global_hidden_layers_short 2
global_nodes_short 24 24
global_activation_short p p l
use_short_forces
{functions}"""
TRAINING = """scale_symmetry_functions
center_symmetry_functions
scale_min_short 0.0
scale_max_short 1.0
normalize_data_set force
random_seed 1
test_fraction 0.1
epochs {epochs}
updater_type 1
parallel_mode 0
jacobian_mode 1
update_strategy 0
selection_mode 2
memorize_symfunc_results
main_error_metric RMSEpa
task_batch_size_energy 1
task_batch_size_force 1
force_weight 10.0
short_energy_fraction 1.0
force_energy_ratio 3.7
short_energy_error_threshold 0.0
short_force_error_threshold 1.0
rmse_threshold_trials 3
weights_min -1.0
weights_max 1.0
nguyen_widrow_weights_short
write_weights_epoch 1
kalman_type 0
kalman_epsilon 0.01
kalman_q0 0.01
kalman_qtau 2.302
kalman_qmin 1e-6
kalman_eta 0.01
kalman_etatau 2.302
kalman_etamax 1.0
"""


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("nnp_train", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--budgets", type=int, nargs="+", default=[1, 2, 4, 8])
    words = parser.parse_args()
    folder, test = words.folder.resolve(), words.test.resolve()
    functions = "".join(re.findall(r"^symfunction_short.*\n", (folder / "input.nn.auto").read_text(), re.M))
    elements = re.search(r"^elements +(.*)", (folder / "input.nn").read_text(), re.M)
    assert elements is not None
    head = HEAD.format(count=len(elements[1].split()), elements=elements[1], functions=functions)
    print("| | epochs | processor time, s | energy, meV/atom | force, meV/Angstrom |\n|" + "---|" * 5)
    for epoch, seconds, place in theirs(words.nnp_train.resolve(), folder, head, words.epochs):
        show("n2p2", epoch, seconds, place, test)
    for epochs in words.budgets:
        place = folder / f"bnnp_{epochs}"
        show("bnnp", epochs, ours(folder, place, functions, epochs), place, test)


def theirs(program: Path, folder: Path, head: str, epochs: int) -> list[tuple[int, float, Path]]:
    """Train by n2p2; epoch, time and a folder with the potential for each epoch."""
    place = folder / "n2p2"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    shutil.copy(folder / "input.data", place)
    (place / "input.nn").write_text(head + TRAINING.format(epochs=epochs))
    spent = []
    for command in ([program.with_name("nnp-scaling"), "500"], [program]):
        begun = processor_time()
        with open(place / f"{command[0].name}.log", "w") as log:
            subprocess.run(command, cwd=place, stdout=log, stderr=log, check=True, env=one_thread())
        spent.append(processor_time() - begun)
    text = (place / "nnp-train.log").read_text()
    shares = [float(x) for x in re.findall(r"^TIMING +\d+ +\d.* (\S+)$", text, re.M)]  # s up to the epoch
    found = []
    for epoch, share in enumerate(shares):
        here = place / f"epoch_{epoch}"
        here.mkdir()
        for weights in place.glob(f"weights.*.{epoch:06d}.out"):
            shutil.copy(weights, here / f"weights.{weights.name.split('.')[1]}.data")
        shutil.copy(place / "scaling.data", here)
        text = (place / "input.nn").read_text()
        (here / "input.nn").write_text(f"units metal\ncalculate_forces\n{text}")
        found.append((epoch, spent[0] + spent[1] * share / shares[-1], here))
    return found


def ours(folder: Path, place: Path, functions: str, epochs: int) -> float:
    """Train by bnnp; the processor time."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    shutil.copy(folder / "input.data", place)
    text = (folder / "input.nn").read_text()
    (place / "input.nn").write_text(f"{text}threads 1\nepochs {epochs}\ncalibration_fraction 0\n{functions}")
    begun = processor_time()
    for mode in ("1", "2"):
        run_bnnp(place, f"mode{mode}.log", "--mode", mode)
    return processor_time() - begun


def show(program: str, epochs: int, seconds: float, place: Path, test: Path) -> None:
    """Predict the test set, print a row."""
    run_bnnp(place, "mode3.log", "--mode", "3", "--data", str(test))
    energy = 1e3 * rms(read_columns(place / "energy.out")[0]["Ediff"])
    table = read_columns(place / "nnforces.out")[0]
    force = 1e3 * rms(np.concatenate([table[f"f{x}"] - table[f"f{x}Ref"] for x in "xyz"]))
    print(f"| {program} | {epochs} | {seconds:.1f} | {energy:.3g} | {force:.3g} |", flush=True)


def processor_time() -> float:
    """Of all programs that were called, s."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def one_thread() -> dict[str, str]:
    """The environment with one thread for every library."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


if __name__ == "__main__":
    main()
