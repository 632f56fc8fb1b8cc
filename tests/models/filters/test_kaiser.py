"""The Kaiser filter against SciPy's designs and its own frequency response."""

from __future__ import annotations

import subprocess
import sys
from math import pi

import numpy as np
import pytest
from scipy import signal

from givre.errors import UsageError
from givre.models.filters.interpolation import bilinear_half
from givre.models.filters.kaiser import (
    STOPBAND_EDGE,
    TRANSITION_WIDTH,
    kaiser_attenuation_db,
    kaiser_beta,
    kaiser_half,
)

KERNEL_SIZES = [4, 6, 8, 10, 12, 14, 16, 32, 64]


@pytest.mark.parametrize("attenuation", [0, 16.9, 20.9, 21, 21.1, 35, 49.9, 50, 50.1, 80, 120])
def test_beta_is_that_of_scipy(attenuation: float) -> None:
    assert kaiser_beta(attenuation) == pytest.approx(signal.kaiser_beta(attenuation), rel=1e-14)


@pytest.mark.parametrize("k", KERNEL_SIZES)
def test_attenuation_is_that_of_scipy(k: int) -> None:
    expected = signal.kaiser_atten(k, TRANSITION_WIDTH)
    assert kaiser_attenuation_db(k) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("k", KERNEL_SIZES)
def test_kernel_is_that_of_firwin(k: int) -> None:
    beta = signal.kaiser_beta(signal.kaiser_atten(k, TRANSITION_WIDTH))
    # Half the high rate's Nyquist frequency; half of what it filters are zeros, hence the 2.
    expected = 2 * signal.firwin(k, 0.5, window=("kaiser", beta), scale=True)
    half = kaiser_half(k)
    np.testing.assert_allclose((*half, *half[::-1]), expected, rtol=0, atol=1e-14)
    assert sum(half) == pytest.approx(1, abs=1e-15)


def test_four_taps_are_bilinear() -> None:
    assert kaiser_half(4) == pytest.approx(bilinear_half(4), abs=1e-15)


@pytest.mark.parametrize(("k", "within"), [(6, 4), (8, 1), (10, 3), (12, 3), (14, 3), (16, 3)])
def test_measured_attenuation_is_near_the_stated_one(k: int, within: float) -> None:
    half = kaiser_half(k)
    frequencies = np.linspace(STOPBAND_EDGE * pi, pi, 4096)
    response = np.abs(signal.freqz((*half, *half[::-1]), worN=frequencies)[1])
    measured = -20 * np.log10(response.max() / 2)
    assert measured == pytest.approx(kaiser_attenuation_db(k), abs=within)


def test_four_taps_do_better_than_stated() -> None:
    half = kaiser_half(4)
    response = np.abs(signal.freqz((*half, *half[::-1]), worN=[STOPBAND_EDGE * pi])[1])
    assert -20 * np.log10(response[0] / 2) > kaiser_attenuation_db(4) + 4


@pytest.mark.parametrize("k", [-2, 0, 2, 5])
def test_size_must_be_even_and_at_least_four(k: int) -> None:
    for function in (kaiser_half, kaiser_attenuation_db):
        with pytest.raises(UsageError, match=f"kernel size is {k}, it must be even"):
            function(k)


def test_kernels_and_their_measures_need_no_torch() -> None:
    code = "import givre.models.filters.initial, givre.models.filters.spectrum, sys"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
