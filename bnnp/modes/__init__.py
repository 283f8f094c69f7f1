"""What ``bnnp --mode 1 | 2 | 3`` and ``--check`` do: a folder for each, with its steps in ``run.py``.

A mode combines the other packages, reads and writes files, and writes the log; only the command imports it.
Read ``symmetry/run.py``, ``train/run.py``, ``calibrate/run.py``, ``predict/run.py``, ``simulate/run.py``.
"""
