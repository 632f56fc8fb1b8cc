"""What all tests share: the installed package, and arithmetic that repeats itself."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("givre") is None:
    pytest.exit("install the project first: make install", returncode=4)

# Under the importlib mode pytest leaves sys.path alone, so a test module would not find the
# reference implementations that lie beside it.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def deterministic_torch() -> None:
    import torch

    torch.set_num_threads(1)  # its other threads spin, and take the cores from the kernels
    torch.use_deterministic_algorithms(True)
