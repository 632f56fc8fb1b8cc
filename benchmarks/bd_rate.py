"""BD-rate: how much more rate a codec needs than another one for the same PSNR, in percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import expm1, inf, isfinite, isnan, log10, nan
from statistics import fmean

import numpy as np
from scipy.interpolate import PchipInterpolator

_SAME_DB = 1e-9


@dataclass(frozen=True)
class Curve:
    """Rate-distortion points of one codec, in any order.

    Attributes:
        bpp: rates in bits a pixel, above 0.
        psnr_db: PSNR of each point in dB; infinite where nothing was lost.

    Raises:
        ValueError: the numbers of rates and PSNR differ, or a rate is not above 0.
    """

    bpp: tuple[float, ...]
    psnr_db: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.bpp) != len(self.psnr_db):
            raise ValueError(f"{len(self.bpp)} rates and {len(self.psnr_db)} PSNR, give as many")
        if not all(isfinite(rate) and rate > 0 for rate in self.bpp):
            raise ValueError(f"the rates are {self.bpp}, each must be above 0")
        if any(isnan(psnr) or psnr == -inf for psnr in self.psnr_db):
            raise ValueError(f"the PSNR are {self.psnr_db}, each must be a number of dB")


def common_range(reference: Curve, test: Curve) -> tuple[float, float] | None:
    """Lowest and highest PSNR in dB that both curves cover, None if there is no such range."""
    ends = [[psnr for psnr in c.psnr_db if isfinite(psnr)] for c in (reference, test)]
    if not all(ends):
        return None
    low, high = max(min(e) for e in ends), min(max(e) for e in ends)
    return (low, high) if high - low > _SAME_DB else None


def bd_rate(reference: Curve, test: Curve) -> float:
    """Mean rate of `test` relative to `reference` at equal PSNR, in percent; negative is better.

    The mean is that of the logarithm of the rate, over the PSNR that both curves cover, between
    the points a monotone cubic (PCHIP). Lossless points are left out: they have no place on the
    PSNR axis. Of points with one PSNR the cheapest counts. Source: Bjontegaard, "Calculation of
    average PSNR differences between RD-curves" (2001), with the interpolation of the JVET common
    test conditions.

    Returns:
        Percent, above -100; nan where the curves have no PSNR range in common.
    """
    common = common_range(reference, test)
    if common is None:
        return nan
    low, high = common
    mean_logs = [_log_rate(c).integrate(low, high) / (high - low) for c in (reference, test)]
    return 100 * expm1(mean_logs[1] - mean_logs[0])


def bd_rates(reference: Mapping[str, Curve], test: Mapping[str, Curve]) -> dict[str, float]:
    """BD-rate of every image that both know, in percent, as `bd_rate` gives it."""
    return {image: bd_rate(reference[image], test[image]) for image in test if image in reference}


def finite_mean(values: Sequence[float]) -> float:
    """Mean of the values that are numbers, nan if there are none."""
    numbers = [value for value in values if isfinite(value)]
    return fmean(numbers) if numbers else nan


def mean_psnr_curve(curves: Sequence[Curve]) -> Curve:
    """Average of curves point by point: mean rate, and mean of the PSNR in dB.

    Args:
        curves: one an image, at least one, their points in the same order of settings.
    """
    return Curve(_mean_rates(curves), _by_point([c.psnr_db for c in curves]))


def mean_mse_curve(curves: Sequence[Curve]) -> Curve:
    """Average of curves point by point: mean rate, and the PSNR in dB of the mean squared error.

    Args:
        curves: as in `mean_psnr_curve`.
    """
    errors = _by_point([tuple(10 ** (-psnr / 10) for psnr in c.psnr_db) for c in curves])
    psnr_db = tuple(-10 * log10(mse) if mse > 0 else inf for mse in errors)
    return Curve(_mean_rates(curves), psnr_db)


def _mean_rates(curves: Sequence[Curve]) -> tuple[float, ...]:
    return _by_point([c.bpp for c in curves])


def _by_point(values: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(fmean(column) for column in zip(*values, strict=True))


def _log_rate(curve: Curve) -> PchipInterpolator:
    """Natural logarithm of the rate as a function of the PSNR."""
    points = sorted((p, r) for p, r in zip(curve.psnr_db, curve.bpp, strict=True) if isfinite(p))
    kept: list[tuple[float, float]] = []
    for psnr, rate in points:
        if kept and psnr - kept[-1][0] < _SAME_DB:
            kept[-1] = (kept[-1][0], min(kept[-1][1], rate))
        else:
            kept.append((psnr, rate))
    psnr_db, bpp = np.array(kept).T
    return PchipInterpolator(psnr_db, np.log(bpp))
