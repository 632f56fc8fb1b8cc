"""How a conformance stream comes about: from a decoder, latents and a range to the bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from exact_cases import (
    Array,
    likely_latents,
    modest_parameters,
    plan_for,
    random_latents,
)

from givre.bitstream.alpha_mask import BETWEEN, OPAQUE, TRANSPARENT, write_mask
from givre.bitstream.container import Container, TilePayload, pack, samples_crc, unpack
from givre.bitstream.header import Alpha, Header, TileEntry
from givre.bitstream.latents import write_latents
from givre.bitstream.parameter_section import CodedGroup, parameter_groups, write_groups
from givre.bitstream.parameters import QuantisedParameters, write_parameters
from givre.bitstream.priors import load_prior
from givre.bitstream.sections import Section
from givre.bitstream.side_information import NO_GUESSES
from givre.bitstream.tiling import Tiling, tile_rectangles
from givre.coder.coded_tile import coded_latents
from givre.coder.decoder import TilePlan, reconstruct
from givre.coder.transparency import Classes, with_mask
from givre.models.architecture import (
    NAMED_POINTS,
    Architecture,
    default_grids,
    group_names,
    tensor_specs,
)
from givre.models.exact.numpy_backend import NumpyBackend
from givre.models.geometry import grids

Range = tuple[tuple[int, ...], tuple[int, ...]]
Size = tuple[int, int]


def synthetic(
    arch: Architecture,
    size: Size,
    quantised: QuantisedParameters,
    latents: list[Array],
    samples: tuple[int, int] | Range = (3, 250),
    parameters: bytes | None = None,
    bit_depth: int = 8,
    classes: Classes | None = None,
) -> bytes:
    """A stream with given parameters, latents and range, whatever picture they make.

    Args:
        arch: shapes.
        size: width and height of the picture.
        quantised: the parameters.
        latents: the values of all grids, as `geometry.grids` orders them.
        samples: low and high of all channels, or the lows and the highs, channel by channel.
        parameters: the parameter section; by default it is the one that an encoder writes.
        bit_depth: bits a sample.
        classes: of the pixels. By default there is no alpha if the synthesis has 1 or 3 outputs,
            and all pixels are in between if it has 2 or 4.
    """
    low, high = (end if isinstance(end, tuple) else (end,) * arch.n_channels for end in samples)
    plan = plan_for(arch, *size, (low, high), bit_depth)
    if classes is not None and plan.alpha is Alpha.NONE:
        plan = replace(plan, alpha=Alpha.MASK)
    if parameters is None:
        parameters = write_parameters(arch, quantised)
    entry, payload = _tile(plan, quantised, latents, parameters, classes)
    header = Header(
        width=plan.width,
        height=plan.height,
        bit_depth=bit_depth,
        architecture=arch,
        tiles=(entry,),
        alpha=plan.alpha,
        prior=quantised.prior.number,
    )
    return pack(Container(header, (payload,)))


def _tile(
    plan: TilePlan,
    quantised: QuantisedParameters,
    latents: list[Array],
    parameters: bytes,
    classes: Classes | None,
) -> tuple[TileEntry, TilePayload]:
    """The entry and the sections of a tile with a given parameter section."""
    backend = NumpyBackend(plan.architecture, quantised.values(plan.architecture))
    section = write_latents(coded_latents(backend, plan, latents))
    decoded, mask = reconstruct(backend, plan, latents, 1), b""
    if plan.alpha is not Alpha.NONE:
        if classes is None:
            classes = np.full((plan.height, plan.width), BETWEEN, np.uint8)
        mask = write_mask(classes, has_between=plan.alpha is Alpha.SOFT)
        decoded = with_mask(decoded, classes, plan.alpha, plan.bit_depth)
    payload = TilePayload(parameters, section, mask)
    entry = replace(
        plan.entry,
        parameter_bytes=len(parameters),
        latent_bytes=len(section),
        mask_bytes=len(mask),
        pixel_crc=samples_crc(decoded),
    )
    return entry, payload


def disc(width: int, height: int, soft: bool) -> Classes:
    """Classes of a picture that is opaque in a disc and transparent around it.

    Args:
        width: of the picture.
        height: of the picture.
        soft: whether there is a ring in between.
    """
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(x - width / 2, y - height / 2) / min(width, height)
    classes = np.where(radius < 0.3, OPAQUE, TRANSPARENT).astype(np.uint8)
    classes[(radius > 0.3) & (radius < 0.45) & soft] = BETWEEN
    return classes


def specks(width: int, height: int) -> Classes:
    """Classes of a picture that is transparent but for small opaque spots, far from each other."""
    y, x = np.mgrid[:height, :width]
    classes = np.full((height, width), TRANSPARENT, np.uint8)
    classes[(x * 7 + y * 13) % 97 == 0] = OPAQUE
    classes[(x // 9 + y // 7) % 11 == 0] = OPAQUE
    return classes


def tiled(
    shared: bool,
    *,
    bit_depth: int = 8,
    channels: int = 3,
    sections: tuple[Section, ...] = (),
    overlap: int = 8,
    size: Size = (150, 90),
    sides: Size = (64, 64),
    arch: Architecture = NAMED_POINTS["lop"],
) -> bytes:
    """A picture in tiles, six of 64 x 64 pixels or less by default.

    Args:
        shared: whether the tiles have the same parameters.
        bit_depth: bits a sample.
        channels: outputs of the synthesis.
        sections: what follows the pixels.
        overlap: of the tiles, 8 or 0.
        size: width and height of the picture.
        sides: width and height of the tiles.
        arch: of the decoder, but for its outputs.
    """
    arch = replace(arch, n_channels=channels)
    tiling, (width, height) = Tiling(*sides, shared, overlap), size
    largest = (1 << bit_depth) - 1
    entries, payloads, common = [], [], b""
    for i, where in enumerate(tile_rectangles(width, height, tiling)):
        samples = ((3 * i,) * channels, (largest - 40 * i,) * channels)
        plan = plan_for(arch, where.width, where.height, samples, bit_depth)
        quantised = modest_parameters(arch, 40 + (0 if shared else i))
        parameters = write_parameters(arch, quantised)
        if shared:
            parameters, common = b"", parameters
        latents = random_latents(arch, where.width, where.height, i)
        classes = None if channels % 2 else disc(where.width, where.height, soft=True)
        entry, payload = _tile(plan, quantised, latents, parameters, classes)
        entries.append(entry)
        payloads.append(payload)
    header = Header(
        width=width,
        height=height,
        bit_depth=bit_depth,
        architecture=arch,
        tiles=tuple(entries),
        alpha=plan.alpha,
        tiling=tiling,
        shared_parameter_bytes=len(common),
        has_metadata=bool(sections),
    )
    return pack(Container(header, tuple(payloads), common, sections))


def with_sections(sections: tuple[Section, ...]) -> bytes:
    """A picture with sections after its pixels."""
    found = unpack(modest(NAMED_POINTS["lop"], (20, 14), 8))
    header = replace(found.header, has_metadata=True)
    return pack(replace(found, header=header, sections=sections))


def modest(
    arch: Architecture, size: Size, seed: int, samples: tuple[int, int] | Range = (3, 250)
) -> bytes:
    """A stream whose samples are seldom at the ends of their ranges."""
    quantised, latents = modest_parameters(arch, seed), random_latents(arch, *size, seed)
    return synthetic(arch, size, quantised, latents, samples)


def largest() -> bytes:
    """Every field of the architecture is at its largest; most weights are zero."""
    arch = Architecture(
        n_spatial=40, n_features=16, synthesis_hidden=128, n_residual=4, n_arm_hidden=4,
        ups_k_size=16, ups_preconcat_k_size=15, n_levels=4, n_hyper=1, n_channels=4,
    )  # fmt: skip
    latents = random_latents(arch, 23, 19, 1)
    return synthetic(arch, (23, 19), modest_parameters(arch, 1, exponent=3), latents)


def _cheap(n_levels: int, n_hyper: int) -> tuple[Architecture, QuantisedParameters]:
    """A decoder that costs next to nothing, as its latents do if they are likely."""
    arch = Architecture(
        n_spatial=2, n_features=0, synthesis_hidden=1, n_residual=0, n_arm_hidden=0,
        ups_k_size=4, ups_preconcat_k_size=1, n_levels=n_levels, n_hyper=n_hyper, n_channels=1,
    )  # fmt: skip
    values = {spec.name: np.zeros(spec.shape) for spec in tensor_specs(arch)}
    # A mean is never halfway between two integers, and the scale is the least that there is.
    values["arm.output.weight"][0] = -0.75, -0.5625
    values["arm.output.bias"][:] = 1.28125, -1
    for stage in range(n_levels - 1):
        values[f"upsampling.transposed.{stage}.weight"][:] = 0.25, 0.75
    values["synthesis.hidden.weight"][:] = 0.125
    values["synthesis.hidden.bias"][:] = 0.5
    values["synthesis.output.weight"][:] = 0.25
    values["synthesis.stabiliser.weight"][0, :, 0, 0] = 0.03125 * np.arange(1, n_levels + 1)
    integers = {name: np.rint(value * 32).astype(np.int32) for name, value in values.items()}
    return arch, QuantisedParameters(integers, dict.fromkeys(group_names(arch), 5))


def large(width: int, height: int, classes: Classes | None = None) -> bytes:
    """A picture with the usual grids; its decoder and its latents cost next to nothing.

    Args:
        width: in pixels.
        height: in pixels.
        classes: of the pixels, TRANSPARENT or OPAQUE; by default there is no alpha.
    """
    arch, quantised = _cheap(*default_grids(width, height))
    backend = NumpyBackend(arch, quantised.values(arch))
    latents = likely_latents(backend, plan_for(arch, width, height))
    return synthetic(arch, (width, height), quantised, latents, classes=classes)


def large_tiled(size: Size, sides: Size) -> bytes:
    """A picture in overlapping tiles with the usual grids, which costs next to nothing.

    Args:
        size: width and height of the picture.
        sides: width and height of the tiles, no longer than the picture's.
    """
    (width, height), tiling = size, Tiling(*sides, shared=True)
    arch, quantised = _cheap(*default_grids(*sides))
    backend = NumpyBackend(arch, quantised.values(arch))
    parameters = write_parameters(arch, quantised)
    entries, payloads = [], []
    for where in tile_rectangles(width, height, tiling):
        plan = plan_for(arch, where.width, where.height)
        latents = likely_latents(backend, plan)
        entry, payload = _tile(plan, quantised, latents, b"", None)
        entries.append(entry)
        payloads.append(payload)
    header = Header(
        width=width,
        height=height,
        bit_depth=8,
        architecture=arch,
        tiles=tuple(entries),
        tiling=tiling,
        shared_parameter_bytes=len(parameters),
    )
    return pack(Container(header, tuple(payloads), parameters))


def from_prior(
    point: str,
    number: int,
    *,
    extra: int = 0,
    channels: int = 3,
    size: Size = (33, 21),
    exponent: int | None = None,
    difference: float = 0.4,
) -> bytes:
    """A stream that names a prior.

    Args:
        point: name of the architecture.
        number: of the prior.
        extra: levels above 7.
        channels: samples a pixel.
        size: width and height.
        exponent: of the differences' step in all groups; by default they have others.
        difference: scale of the integers that stand for the differences.
    """
    arch = replace(NAMED_POINTS[point], n_levels=7 + extra, n_hyper=3 + extra, n_channels=channels)
    prior = load_prior(arch, number)
    quantised = modest_parameters(arch, number, prior, exponent, difference)
    # On the levels that the prior does not have no latents are zero or cancel each other, so that
    # their weights count.
    latents = [
        np.full_like(y, 3 - grid.hyper) if grid.level > 6 else y
        for grid, y in zip(grids(arch, *size), random_latents(arch, *size, number), strict=True)
    ]
    return synthetic(arch, size, quantised, latents)


def halves() -> bytes:
    """Steps are so wide that many numbers lie halfway between two results of a rounding."""
    arch = replace(NAMED_POINTS["lop"], n_arm_hidden=1, n_residual=2, n_levels=4, n_hyper=1)
    exponents = {
        "ifce.weight": 15, "ifce.bias": 15, "arm.hidden": 2, "arm.bias": 0, "arm.output": 9,
        "ups.transposed": 9, "ups.preconcat": 9, "synthesis.hidden": 1, "synthesis.bias": 1,
        "synthesis.output": 3, "synthesis.residual": 3, "synthesis.stabiliser": 3,
    }  # fmt: skip
    rng = np.random.default_rng(3)
    values = modest_parameters(arch, 3, exponent=12).values(arch)
    integers = {
        spec.name: np.rint(values[spec.name] * 2 ** exponents[spec.group]).astype(np.int32)
        for spec in tensor_specs(arch)
    }
    # The finest grid has features, which are multiples of 2^-15. A quarter of an odd one is
    # halfway between two multiples of 2^-16, and a large weight carries R's choice to the mean.
    for level in range(arch.n_ifce):
        limit = 4095 if level == 0 else 0
        for part in ("weight", "bias"):
            name = f"ifce.{level}.{part}"
            integers[name] = rng.integers(-limit, limit, integers[name].shape, endpoint=True)
    hidden, output = integers["arm.hidden.0.weight"], integers["arm.output.weight"]
    hidden[:, : arch.n_spatial] = 0
    hidden[:, arch.n_spatial :] = rng.choice([-1, 1], (arch.context_width, arch.n_features))
    output[0, arch.n_spatial :] = 4095, -4093
    # In the other grids all of the context is integers. Means are then multiples of 2^-9 and
    # logarithms of scales of 2^-6, both half of what they are rounded to.
    output[1] &= ~7
    integers["arm.stabiliser.weight"][1] &= ~7
    for name in ("hidden", "output", "residual.0", "residual.1", "stabiliser"):
        weight = integers[f"synthesis.{name}.weight"]
        weight[:] = rng.choice([-1, 0, 0, 1], weight.shape)
    latents = random_latents(arch, 33, 21, 3)
    return synthetic(arch, (33, 21), QuantisedParameters(integers, exponents), latents)


def half_samples() -> bytes:
    """The outputs are multiples of 1/8, and many samples lie halfway between two integers."""
    arch = replace(NAMED_POINTS["lop"], n_residual=0, n_levels=3, n_hyper=0)
    quantised = modest_parameters(arch, 4)
    integers, exponents = dict(quantised.integers), dict(quantised.exponents)
    rng = np.random.default_rng(4)
    widest = {"ups.transposed": 0, "ups.preconcat": 0, "synthesis.hidden": 1, "synthesis.bias": 1}
    widest |= {"synthesis.output": 2, "synthesis.stabiliser": 2}
    for group, specs in parameter_groups(arch):
        if group in widest:
            exponents[group] = widest[group]
            for spec in specs:
                integers[spec.name] = rng.choice([-1, 0, 0, 1], spec.shape).astype(np.int32)
    for stage in range(arch.n_levels - 1):
        integers[f"upsampling.transposed.{stage}.weight"][:] = 0, 0, 0, 1
        integers[f"upsampling.preconcat.{stage}.weight"][:] = 0
    integers["synthesis.output.bias"][:] = 1
    quantised, latents = QuantisedParameters(integers, exponents), random_latents(arch, 33, 21, 4)
    return synthetic(arch, (33, 21), quantised, latents, ((0, 5, 3), (254, 250, 248)))


def unread_bytes() -> bytes:
    """Both messages go on after what their symbols need."""
    found = unpack(modest(NAMED_POINTS["lop"], (17, 12), 5))
    unread = bytes(4) + b"unread"
    (payload,) = found.tiles
    longer = TilePayload(payload.parameters + unread, payload.latents + unread)
    entry = replace(
        found.header.tiles[0],
        parameter_bytes=len(longer.parameters),
        latent_bytes=len(longer.latents),
    )
    return pack(Container(replace(found.header, tiles=(entry,)), (longer,)))


def dear_indices() -> bytes:
    """Scale indices from 1 to 63, and a group with the flag 1 whose integers are all zero."""
    arch = NAMED_POINTS["lop"]
    quantised = modest_parameters(arch, 6)
    zero = "ifce.bias"
    integers = {
        spec.name: quantised.integers[spec.name] * (spec.group != zero)
        for spec in tensor_specs(arch)
    }
    indices = np.linspace(63, 1, len(group_names(arch))).astype(int)
    groups = {
        group: CodedGroup(
            quantised.exponents[group],
            int(index),
            np.concatenate([integers[spec.name].ravel() for spec in specs]),
        )
        for (group, specs), index in zip(parameter_groups(arch), indices, strict=True)
    }
    section = write_groups(arch, groups, NO_GUESSES)
    chosen, latents = (
        QuantisedParameters(integers, quantised.exponents),
        random_latents(arch, 33, 21, 6),
    )
    return synthetic(arch, (33, 21), chosen, latents, parameters=section)
