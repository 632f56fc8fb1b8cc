"""A decoder's parameters: what a prior says, plus integers on a step that each group chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.laplace_counts import symbol_bits
from givre.bitstream.parameter_section import (
    CodedGroup,
    parameter_groups,
    read_groups,
    split_tensors,
    write_groups,
)
from givre.bitstream.priors import NO_PRIOR, Prior
from givre.bitstream.rangecoder import PARAMETER_MAX
from givre.bitstream.scales import PARAMETER_SCALES
from givre.bitstream.side_information import N_EXPONENTS, side_bits
from givre.errors import CorruptError, UsageError
from givre.models.architecture import Architecture, TensorSpec
from givre.models.exact.arithmetic import PARAMETER_BITS

_N_SYMBOLS = 2 * PARAMETER_MAX + 1


@dataclass(frozen=True)
class QuantisedParameters:
    """Every parameter of a decoder on its dyadic grid: prior + integers * 2^-q.

    Attributes:
        integers: tensor name to int32 array of the tensor's shape, -4095 to 4095: the differences
            from the prior.
        exponents: group name to q of 0 to 15: the group's differences are integers * 2^-q.
        prior: what the parameters are where the integers are zero.
    """

    integers: Mapping[str, NDArray[np.int32]]
    exponents: Mapping[str, int]
    prior: Prior = NO_PRIOR

    def values(self, arch: Architecture) -> dict[str, NDArray[np.float64]]:
        """Tensor name to float64 array of the parameters themselves, exactly.

        Raises UsageError if the prior does not fit `arch`.
        """
        values = self.prior.values(arch)
        for group, specs in parameter_groups(arch):
            for spec in specs:
                integers = self.integers[spec.name].astype(np.float64)
                values[spec.name] += np.ldexp(integers, -self.exponents[group])
        return values


@cache
def parameter_cost_table(scale_index: int) -> NDArray[np.float64]:
    """Bits of each integer of -4095 to 4095 under a scale of 0 to 63, (8191,), read only.

    The integer n is at n + 4095. Index 0 codes nothing: zero is free, all else is infinite.
    """
    if scale_index == 0:
        bits = np.full(_N_SYMBOLS, np.inf)
        bits[PARAMETER_MAX] = 0
    else:
        scale = float(PARAMETER_SCALES[scale_index])
        bits = symbol_bits(-PARAMETER_MAX, PARAMETER_MAX, 0.0, scale)
    bits.setflags(write=False)
    return bits


@cache
def _cost_matrix() -> NDArray[np.float64]:
    """Costs under the scales 1 to 63, (8191, 63): integers that are close lie close in memory."""
    return np.stack([parameter_cost_table(k) for k in range(1, len(PARAMETER_SCALES))], axis=1)


def parameter_bits(
    integers: NDArray[np.int32], side: NDArray[np.float64] | float = 0.0
) -> tuple[float, int]:
    """Bits of a group under the best scale, and the index of that scale.

    Args:
        integers: any shape, -4095 to 4095.
        side: bits of the group's step and scale, (63,) by scale index less 1, from
            `givre.bitstream.side_information.side_bits`; by default they are left out.

    Returns:
        Both are 0 for a group of zeros. The bit that each group takes to say whether it is one is
        not counted.

    Raises UsageError if an integer is out of range.
    """
    flat = integers.ravel()
    if not flat.any():
        return 0.0, 0
    low, high = int(flat.min()), int(flat.max())
    if low < -PARAMETER_MAX or high > PARAMETER_MAX:
        raise UsageError(f"parameters are {low} to {high}, they must be within +-{PARAMETER_MAX}")
    histogram = np.bincount(flat - low).astype(np.float64)
    bits = histogram @ _cost_matrix()[low + PARAMETER_MAX : high + PARAMETER_MAX + 1] + side
    best = int(bits.argmin())
    return float(bits[best]), best + 1


def write_parameters(arch: Architecture, quantised: QuantisedParameters) -> bytes:
    """Code all differences as one message, each group with the scale that costs it least.

    The step of a group without any difference is not coded; it is read back as 2^0.

    Raises UsageError if a tensor is missing or of another shape, if an exponent is not 0 to 15, if
    an integer is not -4095 to 4095 or if a parameter needs more than 16 bits and a sign.
    """
    groups = {
        group: _coded_group(group, specs, quantised) for group, specs in parameter_groups(arch)
    }
    wide = _too_wide(arch, quantised.prior, groups)
    if wide is not None:
        raise UsageError(wide)
    return write_groups(arch, groups, quantised.prior.guesses)


def read_parameters(
    arch: Architecture, data: bytes, prior: Prior = NO_PRIOR
) -> QuantisedParameters:
    """Decode a parameter section into the integers and exponents of every tensor of `arch`.

    Args:
        arch: names and shapes of the tensors.
        data: the section.
        prior: the one that the file's header names, made for `arch`.

    Raises CorruptError if the range coder refuses the data or if a parameter needs more than 16
    bits and a sign.
    """
    groups = read_groups(arch, data, prior.guesses)
    wide = _too_wide(arch, prior, groups)
    if wide is not None:
        raise CorruptError(wide)
    exponents = {name: group.exponent for name, group in groups.items()}
    return QuantisedParameters(split_tensors(arch, groups), exponents, prior)


def _coded_group(group: str, specs: list[TensorSpec], quantised: QuantisedParameters) -> CodedGroup:
    """One group's integers with the cheapest scale; without a step if they are all zero."""
    exponent = quantised.exponents.get(group, -1)
    if not 0 <= exponent < N_EXPONENTS:
        raise UsageError(f"the exponent of {group} must be given, as 0 to {N_EXPONENTS - 1}")
    for spec in specs:
        shape = np.shape(quantised.integers.get(spec.name, 0.0))
        if shape != spec.shape:
            raise UsageError(f"{spec.name} has shape {shape}, it must be {spec.shape}")
    integers = np.concatenate([quantised.integers[spec.name].ravel() for spec in specs])
    side = side_bits(exponent, quantised.prior.guesses.get(group))
    _, scale_index = parameter_bits(integers, side)
    return CodedGroup(exponent if scale_index else 0, scale_index, integers.astype(np.int32))


def _too_wide(arch: Architecture, prior: Prior, groups: Mapping[str, CodedGroup]) -> str | None:
    """What is wrong with the first group whose parameters exceed the decoder's arithmetic, if any.

    On the finer of the two steps, the prior's and the group's own, a parameter must be an integer
    below 2^16.
    """
    base, differences = prior.values(arch), split_tensors(arch, groups)
    for group, specs in parameter_groups(arch):
        exponent = groups[group].exponent
        finest = max(exponent, prior.exponents.get(group, 0))
        for spec in specs:
            value = base[spec.name] + np.ldexp(differences[spec.name].astype(float), -exponent)
            if np.abs(np.ldexp(value, finest)).max() >= 1 << PARAMETER_BITS:
                return (
                    f"parameters of {group} must be less than 2^{PARAMETER_BITS} steps "
                    f"of 2^-{finest} from zero"
                )
    return None
