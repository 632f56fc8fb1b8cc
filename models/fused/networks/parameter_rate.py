"""The kernel that finds the slope of the parameters' rate in one call.

A group of n parameters with differences d from the prior is coded with a Laplace distribution of
the scale b = mean |d|, which takes n log2(b) bits and a constant. With w the weight and f the
floor:

    rate = w sum over groups of n ln(mean |d| + f)
    by d:  w / (mean |d| + f) d / (|d| + smoothness)

The last factor stands for the sign of d. The same in torch is in
`givre.coder.fitting.parameter_rate`: a dozen operations on some thousand numbers, each of which
takes longer to call than to do.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel
from givre.models.compiled.types import Floats1, Integers1


@kernel()
def difference_slope(
    groups: Integers1, counts: Floats1, values: Floats1, origin: Floats1, weight: np.float32,
    floor: np.float32, smoothness: np.float32, slope: Floats1,
) -> None:  # fmt: skip
    """Slope of weight * n * ln(mean |d| + floor), summed over groups, where |d| is smoothed.

    The operations and their order are those of torch's form, so the results are the same bits.

    Args:
        groups: (N,), which group a parameter belongs to.
        counts: (G,), sizes n of the groups.
        values: (N,), parameters.
        origin: (N,), what they are differences from: d = values - origin.
        weight: of the rate.
        floor: added to every mean.
        smoothness: |d| at which the slope of |d| is half of 1.
        slope: (N,), written.
    """
    factors = np.zeros(counts.shape[0], np.float32)
    for i in range(groups.shape[0]):
        factors[groups[i]] += abs(values[i] - origin[i])
    for g in range(counts.shape[0]):
        factors[g] = np.float32(1) / (factors[g] / counts[g] + floor) * weight
    for i in range(groups.shape[0]):
        difference = values[i] - origin[i]
        slope[i] = factors[groups[i]] * difference / (abs(difference) + smoothness)
