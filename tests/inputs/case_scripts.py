"""Scripts of the cases in inputs/ as modules, for tests of their functions."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

INPUTS = Path(__file__).resolve().parents[2] / "inputs"


def load_script(case: str, name: str) -> ModuleType:
    """``inputs/case/name.py``, which imports no other script of its case."""
    specification = importlib.util.spec_from_file_location(f"{case}_{name}", INPUTS / case / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look there
    specification.loader.exec_module(module)
    return module
