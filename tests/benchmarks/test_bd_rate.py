"""BD-rate against analytic values and numerical integration; averages of curves."""

from __future__ import annotations

import sys
from itertools import pairwise
from math import exp, inf, isnan, log, log10, nan
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT
from scipy.integrate import quad
from scipy.interpolate import PchipInterpolator

sys.path.insert(0, str(ROOT / "benchmarks"))

from bd_rate import (
    Curve,
    bd_rate,
    bd_rates,
    common_range,
    finite_mean,
    mean_mse_curve,
    mean_psnr_curve,
)

REFERENCE = Curve((0.1, 0.25, 0.5, 0.8, 1.4), (26.1, 30.2, 33.9, 36.4, 40.7))


def scaled(curve: Curve, factor: float) -> Curve:
    return Curve(tuple(factor * rate for rate in curve.bpp), curve.psnr_db)


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    """Rising curves, 2 to 7 points, that all cover 32 to 33 dB."""
    n = draw(st.integers(0, 5))
    inner = draw(st.lists(st.integers(251, 419), min_size=n, max_size=n, unique=True))
    tenths = [draw(st.integers(240, 250)), *sorted(inner), draw(st.integers(420, 430))]
    steps = draw(st.lists(st.floats(0.01, 1), min_size=len(tenths), max_size=len(tenths)))
    return Curve(tuple(np.exp(np.cumsum(steps)).tolist()), tuple(t / 10 for t in tenths))


@pytest.mark.parametrize("percent", [10.0, -50.0, 0.0, 300.0])
def test_a_constant_ratio_of_rates_is_the_bd_rate(percent: float) -> None:
    test = scaled(REFERENCE, 1 + percent / 100)
    assert bd_rate(REFERENCE, test) == pytest.approx(percent, abs=1e-9)


def test_lines_in_the_logarithm_of_the_rate() -> None:
    # log r is (p - 30) / 10 and (p - 30) / 20 + 0.3; they share 32 to 40 dB, whose middle is 36.
    reference = Curve((1.0, exp(1.0)), (30.0, 40.0))
    test = Curve((exp(0.4), exp(1.3)), (32.0, 50.0))
    assert common_range(reference, test) == (32.0, 40.0)
    assert bd_rate(reference, test) == pytest.approx(100 * (exp(0.4 + 0.2 - 0.6) - 1), abs=1e-9)
    dearer = Curve((exp(0.9), exp(1.8)), (32.0, 50.0))
    assert bd_rate(reference, dearer) == pytest.approx(100 * (exp(0.5) - 1), abs=1e-9)


@given(curves(), curves())
def test_exchanged_curves_give_the_inverse_ratio(a: Curve, b: Curve) -> None:
    there, back = 1 + bd_rate(a, b) / 100, 1 + bd_rate(b, a) / 100
    assert there * back == pytest.approx(1, rel=1e-9)


@given(curves(), curves(), st.randoms(use_true_random=False))
def test_the_order_of_points_and_the_unit_do_not_matter(a: Curve, b: Curve, random: Random) -> None:
    points = list(zip(b.bpp, b.psnr_db, strict=True))
    random.shuffle(points)
    shuffled = Curve(tuple(r for r, _ in points), tuple(p for _, p in points))
    in_bytes = scaled(a, 49152), scaled(shuffled, 49152)
    assert bd_rate(*in_bytes) == pytest.approx(bd_rate(a, b), rel=1e-9, abs=1e-9)


@given(curves(), curves())
def test_agrees_with_numerical_integration(a: Curve, b: Curve) -> None:
    low, high = max(a.psnr_db[0], b.psnr_db[0]), min(a.psnr_db[-1], b.psnr_db[-1])
    knots = sorted({p for p in (*a.psnr_db, *b.psnr_db) if low < p < high} | {low, high})
    logs = [PchipInterpolator(c.psnr_db, np.log(c.bpp)) for c in (a, b)]
    area = sum(
        quad(lambda p: logs[1](p) - logs[0](p), left, right)[0] for left, right in pairwise(knots)
    )
    expected = 100 * (exp(area / (high - low)) - 1)
    assert bd_rate(a, b) == pytest.approx(expected, rel=1e-7, abs=1e-7)


def test_without_a_common_psnr_there_is_no_bd_rate() -> None:
    above = Curve((1.0, 2.0), (41.0, 45.0))
    touching = Curve((1.0, 2.0), (40.7, 45.0))
    single = Curve((0.5,), (33.0,))
    lossless = Curve((8.0, 9.0), (inf, inf))
    for other in (above, touching, single, lossless):
        assert isnan(bd_rate(REFERENCE, other))
        assert isnan(bd_rate(other, REFERENCE))


def test_lossless_points_and_dear_points_of_the_same_psnr_do_not_count() -> None:
    more = Curve((*REFERENCE.bpp, 0.9, 5.0), (*REFERENCE.psnr_db, 33.9, inf))
    assert bd_rate(REFERENCE, more) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("bpp", "psnr_db"),
    [
        ((1.0, 2.0), (30.0,)),
        ((0.0, 2.0), (30.0, 33.0)),
        ((-1.0, 2.0), (30.0, 33.0)),
        ((inf, 2.0), (30.0, 33.0)),
        ((1.0, 2.0), (30.0, nan)),
        ((1.0, 2.0), (-inf, 33.0)),
    ],
)
def test_impossible_curves_are_refused(bpp: tuple[float, ...], psnr_db: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"give as many|above 0|number of dB"):
        Curve(bpp, psnr_db)


def test_images_that_both_know_are_compared() -> None:
    reference = {"a": REFERENCE, "b": REFERENCE, "c": REFERENCE}
    test = {"b": scaled(REFERENCE, 1.1), "c": Curve((1.0, 2.0), (50.0, 51.0)), "d": REFERENCE}
    found = bd_rates(reference, test)
    assert set(found) == {"b", "c"}
    assert found["b"] == pytest.approx(10, abs=1e-9)
    assert finite_mean(list(found.values())) == pytest.approx(10, abs=1e-9)
    assert isnan(finite_mean([nan]))
    assert isnan(finite_mean([]))


def test_the_two_averages() -> None:
    images = [Curve((0.1, 1.0), (30.0, 40.0)), Curve((0.3, 2.0), (40.0, inf))]
    assert mean_psnr_curve(images).bpp == pytest.approx((0.2, 1.5))
    assert mean_psnr_curve(images).psnr_db == pytest.approx((35.0, inf))
    of_mean_mse = mean_mse_curve(images)
    assert of_mean_mse.bpp == pytest.approx((0.2, 1.5))
    # Mean squared errors of 1e-3 and 1e-4, and of 1e-4 and 0.
    expected = (-10 * log10(5.5e-4), 40 + 10 * log(2) / log(10))
    assert of_mean_mse.psnr_db == pytest.approx(expected)
    assert mean_mse_curve([Curve((8.0,), (inf,))]).psnr_db == (inf,)
