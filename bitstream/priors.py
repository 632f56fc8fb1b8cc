"""Priors: decoders that come with the codec, from which a file's decoder is coded as differences.

A prior was learned jointly on many photographs, so most differences of a file are zero. It is part
of the format: `docs/FORMAT.md`, section 17, lists the priors by their hash and says how one that
was learned for seven levels and three channels serves other pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.parameter_section import read_groups, split_tensors
from givre.bitstream.rangecoder import PARAMETER_MAX
from givre.bitstream.side_information import NO_GUESSES, PRIOR_GUESSES, Guesses
from givre.errors import UnsupportedError, UsageError
from givre.models.architecture import (
    NAMED_POINTS,
    Architecture,
    TensorSpec,
    architecture_name,
    tensor_specs,
)

PRIOR_HASHES: dict[tuple[str, int], str] = {
    ("lop", 1): "924911d2a1cd1007bd5031e58013f23e49d5fb2ba1b758944782c7b992e95ac3",
    ("lop", 2): "c6a9c775fd37dab9ac8c07432ea6dcc1d6d395daebdcead4db535a984f9a8323",
    ("lop", 3): "ef62ae637040a587528807c909e31164b7d6fad622517291808c99b98a5df08b",
    ("lop", 4): "1f55150265cba9028e0aaf0f1841f679239e73f88600a186669ae50cfe50ec2e",
    ("mop", 2): "d63dbb6923aad57ff96f06b63de186fffbd219a6bfa9de40b227477c446b7afb",
    ("mop", 3): "3fbd2c04a3021ae0cd33c53b343ca013af499f13bc74362b9023bda1a0ce9df5",
    ("hop", 1): "e8a190b55f9be1173ff6d2d92316968fff2af3e55ca7f181f24f74f6dc450841",
    ("hop", 2): "e4e2eb5055bd458b873cb55473d47a7e87a4019387c942b4fdfa96d679ce313b",
    ("hop", 3): "b5a91611bbce48353e8c8dbdf98b4e85c0e29e80da18fd1aec3bba70dc615ee0",
    ("hop", 4): "e5c02fcff4e888545a3dbb7fb7ca7455bab2ff5680dc49af611c0fa17b3a0ca5",
    ("hop", 5): "77b6d96c376bbd6e5b7123afad7493687489efa16415f43d82c60fdcfce443ba",
}
"""(named point, prior's number) to the SHA-256 of the prior's section, in hexadecimal."""

_BASE = {"n_levels": 7, "n_hyper": 3, "n_channels": 3}
_GREEN, _GREY_AND_ALPHA = 1, 2


@dataclass(frozen=True)
class Prior:
    """What the parameters of a decoder are when a file codes no difference.

    Attributes:
        number: as in the header, 1 to 15; 0 for no prior.
        integers: tensor name to int32 array of the tensor's shape, -4095 to 4095. A tensor that
            is not there has a prior of zero.
        exponents: group name to r of 0 to 15: the group's prior is integers * 2^-r. 0 for a group
            that is not there.
    """

    number: int
    integers: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)
    exponents: Mapping[str, int] = field(default_factory=dict)

    @property
    def guesses(self) -> Guesses:
        """What predicts the steps and scales of the differences; nothing does without a prior."""
        return NO_GUESSES if self.number == 0 else PRIOR_GUESSES

    def values(self, arch: Architecture) -> dict[str, NDArray[np.float64]]:
        """Tensor name to float64 array of the prior itself, exactly.

        Raises UsageError if the prior was made for tensors of another shape.
        """
        found = {}
        for spec in tensor_specs(arch):
            integers = self.integers.get(spec.name, np.zeros(spec.shape, np.int32))
            if integers.shape != spec.shape:
                raise UsageError(
                    f"the prior's {spec.name} has shape {integers.shape}, it must be {spec.shape}"
                )
            exponent = self.exponents.get(spec.group, 0)
            found[spec.name] = np.ldexp(integers.astype(np.float64), -exponent)
        return found


NO_PRIOR = Prior(0)
"""The prior of files that have none: zero throughout."""


@cache
def load_prior(arch: Architecture, number: int) -> Prior:
    """The prior that a file of `arch` names by a number of 0 (none) to 15.

    Raises UnsupportedError if this version has no such prior for `arch`, or if the one that was
    installed is damaged.
    """
    if number == NO_PRIOR.number:
        return NO_PRIOR
    point = architecture_name(arch) or "custom"
    digest = PRIOR_HASHES.get((point, number))
    if digest is None:
        raise UnsupportedError(
            f"prior {number} of a {point} decoder; this version does not have it"
        )
    section = read_base_section(
        files("givre.bitstream") / "priors" / f"{point}-{number}.bin", digest
    )
    return build_prior(section, point, arch, number)


def read_base_section(path: Traversable, digest: str) -> bytes:
    """The content of a prior's file; UnsupportedError unless it has the SHA-256 `digest`."""
    section = path.read_bytes() if path.is_file() else b""
    if sha256(section).hexdigest() != digest:
        raise UnsupportedError(f"the prior {path.name} is missing or damaged: install givre again")
    return section


def build_prior(base_section: bytes, point: str, arch: Architecture, number: int) -> Prior:
    """A prior for `arch` from one that was learned for seven levels and colours.

    Grey is made as green is in a picture whose three colours are the same. Alpha has a prior of
    zero, and nothing else depends on it.

    Args:
        base_section: parameter section of the named point with L = 7, Y = 3, C = 3 and no prior.
        point: its name.
        arch: of the file, the same point with L levels, Y hyper grids and C channels.
        number: of the prior, 1 to 15.

    Raises UnsupportedError unless L is at least 7 and Y = L - 4, CorruptError if the section is
    not one that an encoder writes.
    """
    extra = arch.n_levels - _BASE["n_levels"]
    if extra < 0 or arch.n_hyper != _BASE["n_hyper"] + extra:
        raise UnsupportedError(
            f"a prior for {arch.n_levels} levels and {arch.n_hyper} hyper grids; "
            "there are only priors for 7 levels or more with 4 hyper grids less"
        )
    base_arch = replace(NAMED_POINTS[point], **_BASE)
    groups = read_groups(base_arch, base_section, NO_GUESSES)
    base = split_tensors(base_arch, groups)
    integers = {
        spec.name: _for_channels(spec.name, _for_levels(spec, base, extra), arch.n_channels)
        for spec in tensor_specs(arch)
    }
    return Prior(number, integers, {name: group.exponent for name, group in groups.items()})


def _for_levels(
    spec: TensorSpec, base: Mapping[str, NDArray[np.int32]], extra: int
) -> NDArray[np.int32]:
    """The prior of one tensor of a decoder that has `extra` levels more than the base."""
    if spec.group in ("ups.transposed", "ups.preconcat"):
        kind, stage = spec.name.split(".")[1:3]
        # Stages count from the coarsest: the finest stages keep their filters.
        found = base[f"upsampling.{kind}.{max(0, int(stage) - extra)}.weight"]
    else:
        found = base[spec.name]
    if spec.group == "ifce.weight":
        found = np.pad(found, ((0, 0), (0, 2 * extra)))
    elif spec.group in ("synthesis.hidden", "synthesis.stabiliser"):
        found = np.concatenate([found, *[found[:, -1:]] * extra], axis=1)
    return found


def _for_channels(name: str, found: NDArray[np.int32], n_channels: int) -> NDArray[np.int32]:
    """The prior of a tensor of a decoder with 1 to 4 outputs, from that for three colours."""
    _, layer, *rest = [*name.split("."), ""]
    is_residual_weight = layer == "residual" and rest[1] == "weight"
    if name.startswith("synthesis.") and layer != "hidden":
        if n_channels <= _GREY_AND_ALPHA:
            found = found[_GREEN : _GREEN + 1]
            if is_residual_weight:
                total = found.sum(axis=1, keepdims=True)
                found = np.clip(total, -PARAMETER_MAX, PARAMETER_MAX).astype(np.int32)
        if n_channels % 2 == 0:  # the last output is alpha
            extra = (0, 1)
            pads = [extra, extra if is_residual_weight else (0, 0)] + [(0, 0)] * (found.ndim - 2)
            found = np.pad(found, pads[: found.ndim])
    found = found.copy()
    found.setflags(write=False)
    return found
