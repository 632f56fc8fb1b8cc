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


SLOW = (
    "tests/benchmarks/",
    "tests/coder/fitting/test_starting_point.py",
    "tests/coder/quantisation/test_latent_descent.py",
    "tests/coder/quantisation/test_step_search.py",
    "tests/coder/rate_control/",
    "tests/coder/test_concurrency.py",
    "tests/coder/test_encoder.py",
    "tests/coder/test_photographs.py",
    "tests/conformance/test_misreadings.py",
    "tests/document/test_readme.py",
    "tests/models/compiled/test_preparation.py",
    "tests/models/fused/test_backend.py",
    "tests/scripts/test_killed.py",
    "tests/scripts/test_without_packages.py",
)
"""Tests that fit pictures, compile kernels or start processes; `make test-fast` leaves them out."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests."""
    for item in items:
        if item.nodeid.startswith(SLOW) or item.nodeid.endswith("-torch]"):
            item.add_marker(pytest.mark.slow)
