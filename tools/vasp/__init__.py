"""VASP's outputs, one module a format: what `bnnp vasp` reads.

Each reader goes through an open file once and yields a `Draft` for every ionic step: light, with the reason
if it is no good, and with its numbers read only when they are asked for. So a file of any size is read in
little memory, and what `--every` leaves out costs no parsing.

    step.py       Step and Draft, the reasons to leave a step out, units and signs
    method.py     how a run calculates, and runs that are no self-consistent DFT
    window.py     a stream as a window to search from, or cut into sections
    backlog.py    steps that are held back while damage may still show
    compressed.py plain, gz, bz2, xz
    species.py    elements from POTCAR titles, masses or atominfo
    outcar.py     OUTCAR
    vasprun.py    vasprun.xml
    vaspout.py    vaspout.h5
    ml_ab.py      ML_AB, ML_ABN
    files.py      which file is what; the runs in a directory
"""
