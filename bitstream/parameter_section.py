"""The parameter section as bytes: groups of integers, each with a flag, a step and a scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.rangecoder import SymbolDecoder, SymbolEncoder
from givre.bitstream.scales import PARAMETER_SCALES
from givre.bitstream.side_information import (
    Guesses,
    read_side_information,
    write_side_information,
)
from givre.models.architecture import Architecture, TensorSpec, group_names, tensor_specs


@dataclass(frozen=True)
class CodedGroup:
    """One group as the file holds it.

    Attributes:
        exponent: q of 0 to 15, the step is 2^-q; 0 if nothing is coded.
        scale_index: 1 to 63 into PARAMETER_SCALES; 0 says that all integers are zero and that
            nothing is coded.
        integers: int32 (n,), -4095 to 4095: those of all tensors, joined in the order of the file.
    """

    exponent: int
    scale_index: int
    integers: NDArray[np.int32]


def parameter_groups(arch: Architecture) -> Iterator[tuple[str, list[TensorSpec]]]:
    """Each group with its tensors, in the order in which the file holds them."""
    specs = tensor_specs(arch)
    for group in group_names(arch):
        yield group, [spec for spec in specs if spec.group == group]


def write_groups(arch: Architecture, groups: Mapping[str, CodedGroup], guesses: Guesses) -> bytes:
    """Code every group of `arch` as one message; steps and scales are predicted by `guesses`.

    Raises UsageError if an exponent, a scale index or an integer is out of range.
    """
    encoder = SymbolEncoder()
    for name in group_names(arch):
        group = groups[name]
        encoder.uniform(int(group.scale_index > 0), 2)
        if group.scale_index:
            write_side_information(encoder, group.exponent, group.scale_index, guesses.get(name))
            encoder.parameters(group.integers, float(PARAMETER_SCALES[group.scale_index]))
    return encoder.to_bytes()


def read_groups(arch: Architecture, data: bytes, guesses: Guesses) -> dict[str, CodedGroup]:
    """Decode every group of `arch`, with the guesses that it was coded with.

    Raises CorruptError if the range coder refuses the data.
    """
    decoder = SymbolDecoder(data)
    groups = {}
    for name, specs in parameter_groups(arch):
        n = sum(spec.size for spec in specs)
        if decoder.uniform(2):
            exponent, scale_index = read_side_information(decoder, guesses.get(name))
            integers = decoder.parameters(n, float(PARAMETER_SCALES[scale_index]))
            groups[name] = CodedGroup(exponent, scale_index, integers)
        else:
            groups[name] = CodedGroup(0, 0, np.zeros(n, np.int32))
    return groups


def split_tensors(
    arch: Architecture, groups: Mapping[str, CodedGroup]
) -> dict[str, NDArray[np.int32]]:
    """Tensor name to the tensor's integers, in its shape, from the groups that hold them."""
    found = {}
    for name, specs in parameter_groups(arch):
        ends = np.cumsum([spec.size for spec in specs])
        for spec, part in zip(specs, np.split(groups[name].integers, ends[:-1]), strict=True):
            found[spec.name] = part.reshape(spec.shape)
    return {spec.name: found[spec.name] for spec in tensor_specs(arch)}
