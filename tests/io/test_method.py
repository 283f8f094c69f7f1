"""The word `method=`: it survives input.data, and structures of different methods are told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bnnp.io.input_data import read_structures, write_structures
from bnnp.io.method import disagreements
from bnnp.structure import Structure

WORD = "xc:PBE,encut:520,prec:accurate,spin:1,k:4x4x4@0.39-0.52,Ge:PAW_PBE_Ge_d_03Jan2001+U2"


def test_the_word_survives(tmp_path: Path) -> None:
    structure = Structure(np.array([32]), np.zeros((1, 3)), energy=-1.0, forces=np.zeros((1, 3)))
    structure = Structure(**{**structure.__dict__, "info": {"group": "a", "method": WORD}})
    for number in range(2):  # written, read, and written again
        write_structures(tmp_path / f"{number}.data", [structure])
        (structure,) = read_structures(tmp_path / f"{number}.data")
    assert structure.info["method"] == WORD


def test_equal_methods_agree() -> None:
    assert not list(disagreements({WORD: {"a", "b"}}))


def test_what_one_of_them_does_not_say_is_not_compared() -> None:
    assert not list(disagreements({WORD: {"a"}, "xc:PBE,Te:PAW_PBE_Te_08Apr2002": {"b"}, "": {"c"}}))


def test_each_difference_is_told_with_its_places() -> None:
    other = WORD.replace("520", "400").replace("Ge_d", "Ge")
    cutoff, potential = disagreements({WORD: {"melt/OUTCAR"}, other: {"bulk/OUTCAR", "slab/OUTCAR"}})
    assert "ENCUT (eV): 520 in melt/OUTCAR; 400 in bulk/OUTCAR, slab/OUTCAR." in cutoff
    assert "pseudopotential of Ge: PAW_PBE_Ge_d_03Jan2001+U2 in melt/OUTCAR;" in potential


def test_many_places_are_counted() -> None:
    (warning,) = disagreements({"spin:1": {f"run{n}" for n in range(5)}, "spin:2": {"x"}})
    assert "spin: 1 in run0, run1, run2 and 2 more; 2 in x." in warning


def mesh(one: str, other: str) -> list[str]:
    return list(disagreements({f"k:{one}": {"a"}, f"k:{other}": {"b"}}))


def test_meshes_of_one_density_agree() -> None:
    """A cube of 4 Angstrom, |b| = 1.571, and its doubled cell; Gamma alone in a cell of 16 Angstrom."""
    assert not mesh("4x4x4@0.393-0.524", "2x2x2@0.393-0.785")
    assert not mesh("4x4x4@0.393-0.524", "1x1x1@0.393-")


def test_meshes_of_other_density_do_not() -> None:
    assert (
        "4x4x4@0.393-0.524 in a; 6x6x6@0.262-0.314 in b" in mesh("4x4x4@0.393-0.524", "6x6x6@0.262-0.314")[0]
    )
    assert mesh("4x4x4@0.393-0.524", "1x1x1@1.57-")


def test_the_mesh_of_a_strained_cell_agrees() -> None:
    """20 divisions: the distances that give them are within 5 % of each other."""
    assert not mesh("20x20x20@0.0785-0.0827", "20x20x20@0.0845-0.0889")
    assert mesh("4x4x4@0.393-0.524", "4x4x4@0.196-0.262")  # in the doubled cell


def test_small_effects_are_called_so() -> None:
    (smearing,) = disagreements({"smearing:0@0.05": {"a"}, "smearing:-5": {"b"}})
    assert (
        "smearing (ISMEAR@SIGMA in eV): 0@0.05 in a; -5 in b. Their energies may differ by some" in smearing
    )
    (aspherical,) = disagreements({"lasph:T": {"a"}, "lasph:F": {"b"}})
    assert "LASPH: T in a; F in b. Their energies differ by more than the structures do" in aspherical


def test_ediff_matters_where_it_is_loose() -> None:
    def warnings(*values: str) -> list[str]:
        return list(disagreements({f"ediff:{value}": {f"run{value}"} for value in values}))

    assert not warnings("1e-04", "1e-05", "1e-08")
    assert not warnings("1e-03", "5e-04")
    assert "EDIFF (eV): 1e-03 in run1e-03; 1e-06 in run1e-06." in warnings("1e-05", "1e-03", "1e-06")[0]
    assert "fine in runfine" in warnings("1e-04", "fine")[0]


def test_a_run_whose_forces_may_be_others_is_told_by_itself() -> None:
    (warning,) = disagreements({"xc:PBE,run:nudged_elastic_band": {"01/OUTCAR"}, "xc:PBE": {"bulk/OUTCAR"}})
    assert "nudged_elastic_band (01/OUTCAR). Their forces may include those of springs" in warning
