"""What ``bnnp --mode 1 | 2 | 3`` and ``--check`` do: one folder a mode, whose ``run.py`` reads as the paper
would tell it.

A mode puts the other packages together, reads and writes files, and tells the log; nothing imports it but the
command. Read ``symmetry/run.py``, ``train/run.py``, ``predict/run.py``, ``simulate/run.py``.
"""
