"""Headers of every kind, for the tests of what holds them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from givre.bitstream.header import MAX_SIDE, Alpha, Header, TileEntry
from givre.bitstream.tiling import Tiling, n_tiles
from givre.models.architecture import NAMED_POINTS, Architecture, default_grids

LENGTHS = st.sampled_from([0, 1, 127, 128, 2**32 - 1]) | st.integers(0, 2**32 - 1)


def architectures(n_channels: int, usual: tuple[int, int]) -> st.SearchStrategy[Architecture]:
    """Named and custom ones, with the usual grids and with others."""

    @st.composite
    def draw_one(draw: st.DrawFn) -> Architecture:
        n_levels = draw(st.integers(2, 15))
        other = n_levels, draw(st.integers(0, max(0, n_levels - 3)))
        n_levels, n_hyper = draw(st.sampled_from([usual, other]))
        picture = {"n_levels": n_levels, "n_hyper": n_hyper, "n_channels": n_channels}
        named = [replace(point, **picture) for point in NAMED_POINTS.values()]
        custom = st.builds(
            Architecture,
            n_spatial=st.integers(1, 40),
            n_features=st.integers(0, 16),
            synthesis_hidden=st.integers(1, 128),
            n_residual=st.integers(0, 4),
            n_arm_hidden=st.integers(0, 4),
            ups_k_size=st.sampled_from([4, 8, 16]),
            ups_preconcat_k_size=st.sampled_from([1, 7, 15]),
            **{name: st.just(value) for name, value in picture.items()},
        )
        return draw(st.sampled_from(named) | custom)

    return draw_one()


@st.composite
def tilings(draw: st.DrawFn, width: int, height: int) -> Tiling:
    """Tilings of a picture wider or higher than 64 pixels, which has 2 to 12 tiles then."""
    columns = draw(st.integers(1, 4)) if width > 64 else 1
    rows = draw(st.integers(1, 3)) if height > 64 else 1
    if columns == rows == 1:
        columns, rows = (2, 1) if width > 64 else (1, 2)
    tile_width, tile_height = (
        -(-side // (64 * n)) * 64 for side, n in ((width, columns), (height, rows))
    )
    return Tiling(tile_width, tile_height, draw(st.booleans()), draw(st.sampled_from([0, 8])))


@st.composite
def tile_entries(
    draw: st.DrawFn, n_outputs: int, depth: int, shared: bool, mask: bool
) -> TileEntry:
    largest = (1 << depth) - 1
    furthest = draw(st.sampled_from([0, 1, 15, 16, largest]))
    margins = st.tuples(st.integers(0, furthest), st.integers(0, furthest))
    ranges = [sorted((low, largest - high)) for low, high in (draw(margins) for _ in "abcd")]
    return TileEntry(
        sample_low=tuple(low for low, _ in ranges[:n_outputs]),
        sample_high=tuple(high for _, high in ranges[:n_outputs]),
        parameter_bytes=0 if shared else draw(LENGTHS),
        latent_bytes=draw(LENGTHS),
        mask_bytes=draw(LENGTHS) if mask else 0,
        pixel_crc=draw(st.integers(0, 2**32 - 1)),
    )


@st.composite
def headers(draw: st.DrawFn) -> Header:
    """Every kind: all depths, all kinds of alpha, with and without tiles."""
    sides = st.sampled_from([1, 64, 65, MAX_SIDE]) | st.integers(1, MAX_SIDE) | st.integers(1, 3000)
    width, height = draw(sides), draw(sides)
    depth = draw(st.integers(8, 16))
    alpha = draw(st.sampled_from(Alpha))
    n_outputs = draw(st.sampled_from([1, 3])) + (alpha is Alpha.SOFT)
    tiling = None
    if max(width, height) > 64 and draw(st.booleans()):
        tiling = draw(tilings(width, height))
    largest = (
        (width, height)
        if tiling is None
        else (min(width, tiling.width), min(height, tiling.height))
    )
    shared = tiling is not None and tiling.shared
    entries = tile_entries(n_outputs, depth, shared, alpha is not Alpha.NONE)
    return Header(
        width=width,
        height=height,
        bit_depth=depth,
        architecture=draw(architectures(n_outputs, default_grids(*largest))),
        tiles=tuple(draw(entries) for _ in range(n_tiles(width, height, tiling))),
        alpha=alpha,
        tiling=tiling,
        shared_parameter_bytes=draw(LENGTHS) if shared else 0,
        has_metadata=draw(st.booleans()),
        prior=draw(st.integers(0, 15)),
    )
