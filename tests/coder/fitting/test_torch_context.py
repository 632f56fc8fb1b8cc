"""What an application has set in torch neither breaks an encode nor changes its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
import torch
from fits import encode_fit

import givre
from givre.coder.fitting.torch_context import torch_as_shipped


@contextmanager
def other_defaults() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
            yield
    finally:
        torch.set_default_dtype(before)


STATES = [other_defaults, torch.inference_mode]


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def usual(samples: np.ndarray) -> bytes:
    return givre.encode(samples, steps=5, complexity="lop")


@pytest.mark.parametrize("state", STATES)
def test_bytes_do_not_depend_on_what_is_set_in_torch(
    state: Callable[[], AbstractContextManager[None]], samples: np.ndarray, usual: bytes
) -> None:
    with state():
        assert givre.encode(samples, steps=5, complexity="lop") == usual


@pytest.mark.parametrize("state", STATES)
def test_a_fit_that_is_written_later_is_the_same(
    state: Callable[[], AbstractContextManager[None]], samples: np.ndarray, usual: bytes
) -> None:
    with state():
        fit = givre.overfit(samples, steps=5, complexity="lop")
    assert encode_fit(fit, samples).data == usual


@pytest.mark.slow
def test_a_target_is_met_all_the_same(samples: np.ndarray) -> None:
    with torch.inference_mode():
        data = givre.encode(samples, steps=40, complexity="lop", target_psnr=12)
    error = np.asarray(givre.decode(data), np.float64) - samples
    assert 10 * np.log10(255**2 / np.mean(error**2)) == pytest.approx(12, abs=0.1)


@torch_as_shipped()
def raise_an_error() -> None:
    assert torch.is_grad_enabled()
    assert torch.empty(1).dtype == torch.float32
    assert torch.empty(1).device.type == "cpu"
    raise LookupError


def test_the_settings_are_put_back() -> None:
    with other_defaults():
        with pytest.raises(LookupError):
            raise_an_error()
        assert not torch.is_grad_enabled()
        assert torch.is_autocast_enabled("cpu")
        assert torch.empty(1).dtype == torch.float64
        assert torch.empty(1).device.type == "meta"
