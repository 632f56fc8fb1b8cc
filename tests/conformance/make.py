"""Write the conformance streams, what each is for, and the hashes of their pixels.

They pin the meaning of the format: within a format version they are never written again, only
added to. Run `python tests/conformance/make.py` in the repository to add a missing one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

from exact_cases import (
    architecture,
    extreme_latents,
    extreme_parameters,
    modest_parameters,
    random_latents,
    random_parameters,
)
from fits import encode_samples
from stream_builders import (
    Size,
    dear_indices,
    disc,
    from_prior,
    half_samples,
    halves,
    large,
    large_tiled,
    largest,
    modest,
    specks,
    synthetic,
    tiled,
    unread_bytes,
    with_sections,
)

from givre.bitstream.sections import Section
from givre.coder.decoder import decode_samples
from givre.coder.fitting.settings import FitSettings
from givre.models.architecture import NAMED_POINTS, Architecture, default_grids


@dataclass(frozen=True)
class Stream:
    """One conformance stream.

    Attributes:
        purpose: the rules of the format that it exercises, for people.
        make: returns its bytes.
    """

    purpose: str
    make: Callable[[], bytes]


Streams = dict[str, Stream]


# --- random and extreme numbers -----------------------------------------------------------------


def _random(arch: Architecture, size: Size) -> bytes:
    quantised, latents = random_parameters(arch, seed=size[0]), random_latents(arch, *size, 1)
    return synthetic(arch, size, quantised, latents)


def _random_range(low: int, high: int) -> bytes:
    arch = replace(NAMED_POINTS["mop"], n_channels=2)
    quantised, latents = random_parameters(arch, seed=low), random_latents(arch, 26, 19, low)
    return synthetic(arch, (26, 19), quantised, latents, (low, high))


def _extreme(exponent: int) -> bytes:
    arch = architecture("hop", levels=7)
    quantised = extreme_parameters(arch, exponent, seed=exponent)
    latents = extreme_latents(arch, 24, 18, seed=exponent)
    return synthetic(arch, (24, 18), quantised, latents)


def _custom() -> bytes:
    custom = Architecture(
        n_spatial=3, n_features=1, synthesis_hidden=5, n_residual=3, n_arm_hidden=1,
        ups_k_size=4, ups_preconcat_k_size=3, n_levels=4, n_hyper=1, n_channels=3,
    )  # fmt: skip
    quantised, latents = random_parameters(custom, seed=2), random_latents(custom, 30, 22, 2)
    return synthetic(custom, (30, 22), quantised, latents)


def random_streams() -> Streams:
    """Numbers of every size, and the largest that there are; most samples are black or white."""
    found = {}
    for name, size, channels in [
        ("lop", (33, 17), 3), ("mop", (20, 40), 1), ("hop", (48, 31), 3), ("vhop", (25, 25), 4),
        ("hop", (1, 1), 3), ("lop", (7, 1), 2), ("hop", (1, 5), 1), ("hop", (65, 63), 3),
    ]:  # fmt: skip
        arch = architecture(name, channels=channels, levels=7)
        found[f"random-{name}-{size[0]}x{size[1]}x{channels}"] = Stream(
            f"random parameters and latents, channels: {channels}", partial(_random, arch, size)
        )
    for low, high, code in [(0, 255, 0), (5, 201, 2)]:
        found[f"range-{low}-{high}-mop-26x19x2"] = Stream(
            f"range code {code}, two channels", partial(_random_range, low, high)
        )
    for exponent in (0, 8, 15):
        found[f"extreme-hop-q{exponent}"] = Stream(
            f"the largest parameters on the step 2^-{exponent}, the largest latents; clamps",
            partial(_extreme, exponent),
        )
    found["custom-30x22"] = Stream("an architecture that is spelt out", _custom)
    return found


# --- what the encoder writes --------------------------------------------------------------------


def picture(width: int, height: int, channels: int) -> NDArray[np.uint8]:
    """A small picture with edges, gradients and texture, (height, width, channels)."""
    y, x = np.mgrid[:height, :width]
    planes = [
        128 + 100 * np.sin(x / (3 + c)) * np.cos(y / (5 - c)) + 20 * ((x + y * (c + 1)) % 7 > 3)
        for c in range(channels)
    ]
    return np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)


def _fitted(samples: NDArray[np.uint8], complexity: str, steps: int, prior: int) -> bytes:
    settings = FitSettings(lmbda=1e-3, steps=steps, complexity=complexity, threads=1, prior=prior)
    return encode_samples(samples, settings).data


def fitted_streams() -> Streams:
    """Fits of a few steps. Another encoder or another torch may write other bytes for them."""
    found = {}
    for channels, name in [(3, "hop"), (1, "lop"), (4, "lop")]:
        found[f"fitted-{name}-32x24x{channels}"] = Stream(
            f"what the encoder writes, channels: {channels}",
            partial(_fitted, picture(32, 24, channels), name, 60, 0),
        )
    for channels, name, number in [(3, "hop", 3), (3, "lop", 1), (1, "mop", 2)]:
        found[f"prior{number}-{name}-40x24x{channels}"] = Stream(
            f"what the encoder writes with a prior, channels: {channels}",
            partial(_fitted, picture(40, 24, channels), name, 20, number),
        )
    found["constant-11x9"] = Stream(
        "an empty parameter section; low and high are equal",
        partial(_fitted, np.full((9, 11, 3), 200, np.uint8), "lop", 5, 0),
    )
    return found


# --- architectures ------------------------------------------------------------------------------


def neighbour_streams() -> Streams:
    """Both ends of every span of the table of wave steps, and kernels of every size."""
    found = {}
    for n_spatial, step, k_size, preconcat in [
        (1, 1, 4, 1), (2, 1, 6, 3), (4, 2, 10, 5), (7, 2, 12, 7), (8, 3, 14, 9), (15, 3, 16, 11),
        (16, 4, 8, 13), (25, 4, 8, 15), (26, 5, 6, 5),
    ]:  # fmt: skip
        arch = Architecture(
            n_spatial=n_spatial, n_features=1, synthesis_hidden=3, n_residual=1, n_arm_hidden=1,
            ups_k_size=k_size, ups_preconcat_k_size=preconcat, n_levels=5, n_hyper=1, n_channels=1,
        )  # fmt: skip
        found[f"neighbours-{n_spatial}"] = Stream(
            f"{n_spatial} neighbours, whose wave step is {step}; "
            f"filters of {k_size} and {preconcat} taps",
            partial(modest, arch, (33, 21), 10 + n_spatial),
        )
    found["largest"] = Stream(
        "all fields of the architecture at their largest: 40 neighbours, whose wave step is 5, "
        "16 features, filters of 16 and 15 taps, four hidden and four residual layers",
        largest,
    )
    return found


def layer_streams() -> Streams:
    """Parts of the decoder that are absent, or there most often."""
    found = {}
    for seed, (name, purpose, fields) in enumerate(
        [
            ("no-features", "no features: their groups are absent", {"n_features": 0}),
            (
                "no-hidden",
                "no hidden layers of the ARM: arm.output is coded before arm.bias",
                {"n_arm_hidden": 0},
            ),
            (
                "no-hidden-no-features",
                "no hidden layers of the ARM, no features, no residual layers",
                {"n_arm_hidden": 0, "n_features": 0, "n_residual": 0},
            ),
            ("no-residual", "no residual layers", {"n_residual": 0}),
            (
                "four-hidden-four-residual",
                "four hidden layers of the ARM, four residual layers",
                {"n_arm_hidden": 4, "n_residual": 4},
            ),
            (
                "one-number-hidden",
                "one number in the hidden layer of the synthesis",
                {"synthesis_hidden": 1},
            ),
        ],
        start=21,
    ):
        arch = replace(NAMED_POINTS["lop"], **fields)
        found[name] = Stream(purpose, partial(modest, arch, (33, 21), seed))
    return found


# --- grids --------------------------------------------------------------------------------------


def grid_streams() -> Streams:
    """Numbers of grids from the least to the most, and the usual ones of large pictures."""
    found = {}
    for seed, (name, purpose, grids, size) in enumerate(
        [
            ("levels-2", "two levels: one grid has features", (2, 0), (33, 21)),
            ("levels-3", "three levels: two grids have features", (3, 0), (33, 21)),
            ("levels-4-hyper-0", "no hyper grids where there may be one", (4, 0), (21, 9)),
            ("levels-6-hyper-3", "`grids` repeats the usual Y but not L", (6, 3), (33, 21)),
            ("levels-5-301x2", "a picture of two rows", (5, 2), (301, 2)),
            ("levels-14-1x300", "a picture of one column, grids of one latent", (14, 1), (1, 300)),
            ("levels-15-hyper-12", "the most grids that there are", (15, 12), (33, 21)),
        ],
        start=1,
    ):
        arch = replace(NAMED_POINTS["lop"], n_levels=grids[0], n_hyper=grids[1])
        found[name] = Stream(purpose, partial(modest, arch, size, seed))
    for width, height in [(999, 1001), (1000, 1000), (2000, 1500)]:
        n_levels, n_hyper = default_grids(width, height)
        found[f"usual-{width}x{height}"] = Stream(
            f"the usual grids of {width * height} pixels, L = {n_levels} and Y = {n_hyper}",
            partial(large, width, height),
        )
    return found


# --- priors -------------------------------------------------------------------------------------


def prior_streams() -> Streams:
    """Priors for more levels and other channels, and differences on steps of every kind."""
    return {
        "prior2-lop-levels-8": Stream(
            "a prior for one level more; several steps, q other than r",
            partial(from_prior, "lop", 2, extra=1, size=(40, 24)),
        ),
        "prior3-mop-levels-9": Stream(
            "a prior for two levels more", partial(from_prior, "mop", 3, extra=2, size=(27, 40))
        ),
        "prior2-hop-levels-8": Stream(
            "a prior for one level more", partial(from_prior, "hop", 2, extra=1, size=(24, 36))
        ),
        "prior5-hop-levels-10-rgba": Stream(
            "a prior for three levels more and four outputs: none for alpha",
            partial(from_prior, "hop", 5, extra=3, channels=4, size=(37, 29)),
        ),
        "prior1-hop-levels-15-grey": Stream(
            "a prior for the most levels and one output: that of green",
            partial(from_prior, "hop", 1, extra=8, channels=1, size=(29, 37)),
        ),
        "prior3-hop-grey": Stream(
            "a prior for one output: that of green", partial(from_prior, "hop", 3, channels=1)
        ),
        "prior4-lop-two-channels": Stream(
            "a prior for two outputs: that of green, none for alpha",
            partial(from_prior, "lop", 4, channels=2, size=(40, 24)),
        ),
        "prior3-lop-q10": Stream(
            "differences on the prior's own step, q = r = 10",
            partial(from_prior, "lop", 3, exponent=10),
        ),
        "prior2-mop-q15": Stream(
            "differences on a finer step than the prior's, q = 15 and r = 10",
            partial(from_prior, "mop", 2, exponent=15, difference=2.0),
        ),
        "prior4-hop-q3": Stream(
            "differences on a wider step than the prior's, q = 3 and r = 10",
            partial(from_prior, "hop", 4, exponent=3, difference=0.12),
        ),
    }


# --- depths, transparency, tiles and metadata ---------------------------------------------------


SECTIONS = (
    Section(1, b"a profile, " * 40),
    Section(2, b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
    Section(4, bytes([9, 16, 0, 1])),
    Section(99, b"of a later version"),
)


def depth_streams() -> Streams:
    """Samples of 9 to 16 bits, with every code of the range."""
    found = {}
    for seed, (depth, samples, code) in enumerate(
        [(16, (0, 65535), 0), (16, (9, 65525), 1), (12, (77, 4000), 2), (9, (0, 511), 0)], start=61
    ):
        found[f"depth-{depth}-range-code-{code}"] = Stream(
            f"samples of {depth} bits, range code {code}",
            partial(
                synthetic,
                NAMED_POINTS["lop"],
                (33, 21),
                modest_parameters(NAMED_POINTS["lop"], seed),
                random_latents(NAMED_POINTS["lop"], 33, 21, seed),
                samples,
                bit_depth=depth,
            ),
        )
    return found


def alpha_streams() -> Streams:
    """Masks alone, and masks with what lies in between, of grey and of colours."""
    found = {}
    for seed, (channels, soft, depth) in enumerate(
        [(3, False, 8), (4, True, 8), (1, False, 16), (2, True, 10)], start=71
    ):
        arch = replace(NAMED_POINTS["lop"], n_channels=channels)
        kind = "soft" if soft else "mask"
        found[f"alpha-{kind}-{channels}-outputs-{depth}-bits"] = Stream(
            "every pixel transparent or opaque"
            if not soft
            else "pixels transparent, opaque and in between, alpha clamped there",
            partial(
                synthetic,
                arch,
                (37, 29),
                modest_parameters(arch, seed),
                random_latents(arch, 37, 29, seed),
                (0, (1 << depth) - 1),
                bit_depth=depth,
                classes=disc(37, 29, soft),
            ),
        )
    return found | {
        "worked-mask-8x5": Stream("the mask in the worked example of the format", _worked_mask),
        "mask-counts-halved": Stream(
            "counts of a pattern with a sum of 2^14, and above it; one output and a mask",
            partial(large, 240, 58, specks(240, 58)),
        ),
    }


def _worked_mask() -> bytes:
    arch = replace(_worked_architecture(), n_channels=2)
    quantised, latents = modest_parameters(arch, 75), random_latents(arch, 8, 5, 75)
    return synthetic(arch, (8, 5), quantised, latents, (0, 255), classes=disc(8, 5, soft=True))


def tile_streams() -> Streams:
    """Pictures in tiles, and sections after the pixels."""
    return {
        "tiles": Stream("six tiles with parameters of their own", partial(tiled, shared=False)),
        "tiles-no-overlap": Stream(
            "six tiles side by side", partial(tiled, shared=False, overlap=0)
        ),
        "tiles-shared": Stream("six tiles with the same parameters", partial(tiled, shared=True)),
        "tiles-16-bits-metadata": Stream(
            "six tiles of 16 bits a sample, with metadata",
            partial(tiled, shared=False, bit_depth=16, sections=SECTIONS),
        ),
        "tiles-alpha": Stream("six tiles with masks", partial(tiled, shared=True, channels=4)),
        "metadata": Stream(
            "sections after the pixels: compressed, plain, and of a kind that no reader knows",
            partial(with_sections, SECTIONS),
        ),
        "tiles-wide": Stream(
            "tiles of 2^20 x 64, wider than the picture; a last tile of one row",
            partial(tiled, shared=True, size=(40, 129), sides=(1 << 20, 64)),
        ),
        "every-field": Stream(
            "every field that a header can have: custom, depth, tiling, grids, shared parameters, "
            "ranges, masks, and sections after the pixels",
            partial(
                tiled,
                shared=True,
                bit_depth=12,
                channels=2,
                sections=SECTIONS[2:],
                size=(90, 40),
                arch=_worked_architecture(),
            ),
        ),
        "tiles-narrow": Stream(
            "a last tile of five columns, fewer than what it overlaps",
            partial(tiled, shared=False, size=(133, 50), sides=(128, 64), bit_depth=10),
        ),
        "tiles-usual-3904x300": Stream(
            "more than a million pixels in the picture and, with what it overlaps, in its first "
            "tile: the usual grids are those of the rectangle, 3904 x 256",
            partial(large_tiled, (3904, 300), (3904, 256)),
        ),
    }


# --- ranges, roundings and messages -------------------------------------------------------------


def rule_streams() -> Streams:
    """Ranges that differ between channels, roundings of halves, unusual messages."""
    lop = NAMED_POINTS["lop"]
    return {
        "range-code-0": Stream(
            "the whole range in three channels", partial(modest, lop, (33, 21), 1, (0, 255))
        ),
        "range-code-1": Stream(
            "margins from 0 to 15, each channel with its own",
            partial(modest, lop, (33, 21), 2, ((0, 15, 3), (255, 240, 254))),
        ),
        "range-code-2": Stream(
            "a margin of 16 in one channel, other ranges in the others, one of a single sample",
            partial(modest, lop, (33, 21), 3, ((0, 16, 77), (255, 255, 77))),
        ),
        "worked-12x9": Stream("the numbers in the worked example of the format", _worked),
        "halves": Stream(
            "numbers halfway between two results of R, of the mean and of the scale index, above "
            "and below zero",
            halves,
        ),
        "half-samples": Stream("outputs halfway between two samples", half_samples),
        "unread-bytes": Stream(
            "messages that are not the shortest, with bytes that no decoder reads", unread_bytes
        ),
        "dear-indices": Stream(
            "scale indices that are not the cheapest, 1 and 63 among them; the flag 1 before "
            "integers that are all zero",
            dear_indices,
        ),
    }


def _worked_architecture() -> Architecture:
    return Architecture(
        n_spatial=3, n_features=1, synthesis_hidden=4, n_residual=2, n_arm_hidden=1,
        ups_k_size=4, ups_preconcat_k_size=3, n_levels=4, n_hyper=1, n_channels=2,
    )  # fmt: skip


def _worked() -> bytes:
    return modest(_worked_architecture(), (12, 9), 55)


def streams() -> Streams:
    """Every conformance stream by name."""
    return (
        random_streams()
        | fitted_streams()
        | neighbour_streams()
        | layer_streams()
        | grid_streams()
        | prior_streams()
        | depth_streams()
        | alpha_streams()
        | tile_streams()
        | rule_streams()
    )


def main() -> None:
    """Add the streams that are missing, and say what all are for."""
    index_path = FOLDER / "pixels.json"
    index = json.loads(index_path.read_text()) if index_path.exists() else {}
    for name, stream in streams().items():
        if name not in index:
            data = stream.make()
            samples = decode_samples(data)
            (FOLDER / f"{name}.givre").write_bytes(data)
            digest = sha256(samples.tobytes()).hexdigest()
            index[name] = {"shape": list(samples.shape), "sha256": digest}
        index[name]["purpose"] = stream.purpose
    index_path.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
