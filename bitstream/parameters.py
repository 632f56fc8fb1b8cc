"""The parameter section: the decoder's parameters as integers, with a step and a scale a group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.rangecoder import PARAMETER_MAX, SymbolDecoder, SymbolEncoder
from givre.bitstream.scales import PARAMETER_SCALES
from givre.errors import UsageError
from givre.models.architecture import Architecture, TensorSpec, group_names, tensor_specs

N_EXPONENTS = 16
"""Quantisation steps are 2^-q for q = 0 to N_EXPONENTS - 1."""

_N_SYMBOLS = 2 * PARAMETER_MAX + 1
_PRECISION = 24


@dataclass(frozen=True)
class QuantisedParameters:
    """Every parameter of a decoder on its dyadic grid.

    Attributes:
        integers: tensor name to int32 array of the tensor's shape, -4095 to 4095.
        exponents: group name to q of 0 to 15: the group's parameters are integers * 2^-q.
    """

    integers: Mapping[str, NDArray[np.int32]]
    exponents: Mapping[str, int]

    def values(self, arch: Architecture) -> dict[str, NDArray[np.float64]]:
        """Tensor name to float64 array of the parameters themselves, integers * 2^-q, exactly."""
        return {
            spec.name: np.ldexp(
                self.integers[spec.name].astype(np.float64), -self.exponents[spec.group]
            )
            for spec in tensor_specs(arch)
        }


def _groups(arch: Architecture) -> Iterator[tuple[str, list[TensorSpec]]]:
    """Each group with its tensors, in the order in which the file holds them."""
    specs = tensor_specs(arch)
    for group in group_names(arch):
        yield group, [spec for spec in specs if spec.group == group]


def leaky_laplace_cumulative(scale: float) -> NDArray[np.int64]:
    """Cumulative counts C(-4095) = 0 to C(4096) = 2^24 of the parameter model, (8192,).

    A symbol s has the probability (C(s + 1) - C(s)) / 2^24. It is the integral of the Laplace
    density over [s - 1/2, s + 1/2], plus one count, so that no symbol is impossible.
    """
    boundaries = np.arange(-PARAMETER_MAX + 1, PARAMETER_MAX + 1) - 0.5
    tail = 0.5 * np.exp(-np.abs(boundaries) / scale)
    below = np.where(boundaries < 0, tail, 1 - tail)
    free_weight = (1 << _PRECISION) - _N_SYMBOLS
    inner = np.floor(free_weight * below).astype(np.int64) + np.arange(1, _N_SYMBOLS)
    return np.concatenate([[0], inner, [1 << _PRECISION]])


@cache
def parameter_cost_table(scale_index: int) -> NDArray[np.float64]:
    """Bits of each integer of -4095 to 4095 under a scale of 0 to 63, (8191,), read only.

    The integer n is at n + 4095. Index 0 codes nothing: zero is free, all else is infinite.
    """
    if scale_index == 0:
        bits = np.full(_N_SYMBOLS, np.inf)
        bits[PARAMETER_MAX] = 0
    else:
        counts = np.diff(leaky_laplace_cumulative(float(PARAMETER_SCALES[scale_index])))
        bits = _PRECISION - np.log2(counts)
    bits.setflags(write=False)
    return bits


@cache
def _cost_matrix() -> NDArray[np.float64]:
    """Costs under the scales 1 to 63, (8191, 63): integers that are close lie close in memory."""
    return np.stack([parameter_cost_table(k) for k in range(1, len(PARAMETER_SCALES))], axis=1)


def parameter_bits(integers: NDArray[np.int32]) -> tuple[float, int]:
    """Bits of a group's integers under the best scale, and the index of that scale.

    `integers` has any shape, values -4095 to 4095, UsageError otherwise. The 10 bits that each
    group takes for its step and its scale are not counted.
    """
    flat = integers.ravel()
    if not flat.any():
        return 0.0, 0
    low, high = int(flat.min()), int(flat.max())
    if low < -PARAMETER_MAX or high > PARAMETER_MAX:
        raise UsageError(f"parameters are {low} to {high}, they must be within +-{PARAMETER_MAX}")
    histogram = np.bincount(flat - low).astype(np.float64)
    bits = histogram @ _cost_matrix()[low + PARAMETER_MAX : high + PARAMETER_MAX + 1]
    best = int(bits.argmin())
    return float(bits[best]), best + 1


def write_parameters(arch: Architecture, quantised: QuantisedParameters) -> bytes:
    """Code all parameters as one message, each group with the scale that costs it least.

    Raises UsageError if a tensor is missing or of another shape, if an exponent is not 0 to 15 or
    if an integer is not -4095 to 4095.
    """
    encoder = SymbolEncoder()
    for group, specs in _groups(arch):
        exponent = quantised.exponents.get(group, -1)
        if not 0 <= exponent < N_EXPONENTS:
            raise UsageError(f"the exponent of {group} must be given, as 0 to {N_EXPONENTS - 1}")
        for spec in specs:
            shape = np.shape(quantised.integers.get(spec.name, 0.0))
            if shape != spec.shape:
                raise UsageError(f"{spec.name} has shape {shape}, it must be {spec.shape}")
        integers = np.concatenate([quantised.integers[spec.name].ravel() for spec in specs])
        _, scale_index = parameter_bits(integers)
        encoder.uniform(exponent, N_EXPONENTS)
        encoder.uniform(scale_index, len(PARAMETER_SCALES))
        if scale_index:
            encoder.parameters(integers.astype(np.int32), float(PARAMETER_SCALES[scale_index]))
    return encoder.to_bytes()


def read_parameters(arch: Architecture, data: bytes) -> QuantisedParameters:
    """Decode a parameter section into the integers and exponents of every tensor of `arch`.

    Raises CorruptError if the range coder refuses the data.
    """
    decoder = SymbolDecoder(data)
    integers = {spec.name: np.zeros(spec.shape, np.int32) for spec in tensor_specs(arch)}
    exponents: dict[str, int] = {}
    for group, specs in _groups(arch):
        exponents[group] = decoder.uniform(N_EXPONENTS)
        scale_index = decoder.uniform(len(PARAMETER_SCALES))
        if not scale_index:
            continue
        n = sum(spec.size for spec in specs)
        flat = decoder.parameters(n, float(PARAMETER_SCALES[scale_index]))
        ends = np.cumsum([spec.size for spec in specs])
        for spec, part in zip(specs, np.split(flat, ends[:-1]), strict=True):
            integers[spec.name] = part.reshape(spec.shape)
    return QuantisedParameters(integers, exponents)
