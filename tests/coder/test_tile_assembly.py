"""Tiles that overlap are put together so that their weights add up to one everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from givre.bitstream.tiling import OVERLAP, Rectangle, Tiling, blend_weights, tile_rectangles
from givre.coder.tile_assembly import TileAssembly

SIDES = st.sampled_from([64, 128])


def weighted_mean(
    size: tuple[int, int], tiling: Tiling, tiles: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The defining sums: every tile times its weights, and the weights alone."""
    width, height = size
    sums = np.zeros((height, width, tiles[0].shape[2]), np.int64)
    weights = np.zeros((height, width, 1), np.int64)
    for where, tile in zip(tile_rectangles(width, height, tiling), tiles, strict=True):
        across = blend_weights(where.x, where.width, width, tiling.width, tiling.overlap)
        down = blend_weights(where.y, where.height, height, tiling.height, tiling.overlap)
        share = np.outer(down, across)[:, :, None]
        rows = slice(where.y, where.y + where.height)
        columns = slice(where.x, where.x + where.width)
        sums[rows, columns] += share * tile
        weights[rows, columns] += share
    return sums, weights


@given(
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    sides=st.tuples(SIDES, SIDES),
    overlap=st.sampled_from([0, OVERLAP]),
    part=st.tuples(*[st.floats(0, 1)] * 4),
    seed=st.integers(0, 100),
)
@example(width=65, height=64, sides=(64, 64), overlap=8, part=(0, 0, 1, 1), seed=0)
@example(width=136, height=73, sides=(64, 64), overlap=8, part=(0, 0, 1, 1), seed=0)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_part_is_the_weighted_mean_of_its_tiles(
    *,
    width: int,
    height: int,
    sides: tuple[int, int],
    overlap: int,
    part: tuple[float, float, float, float],
    seed: int,
) -> None:
    tiling = Tiling(*sides, overlap=overlap)
    rng = np.random.default_rng(seed)
    places = tile_rectangles(width, height, tiling)
    tiles = [rng.integers(0, 65536, (p.height, p.width, 2)).astype(np.uint16) for p in places]
    sums, weights = weighted_mean((width, height), tiling, tiles)
    assert (weights == weights[0, 0]).all()
    x, y = int(part[0] * (width - 1)), int(part[1] * (height - 1))
    where = Rectangle(x, y, 1 + int(part[2] * (width - x - 1)), 1 + int(part[3] * (height - y - 1)))
    assembly = TileAssembly(
        np.zeros((where.height, where.width, 2), np.uint16),
        where,
        (width, height),
        (*sides, overlap),
    )
    for i in rng.permutation(len(tiles)):
        assembly.add(tiles[i], places[i])
    expected = (sums + weights // 2) // weights
    rows, columns = slice(y, y + where.height), slice(x, x + where.width)
    np.testing.assert_array_equal(assembly.finish(), expected[rows, columns])


def test_where_a_tile_is_missing_the_others_count_alone() -> None:
    tiling, size = Tiling(64, 64), (128, 64)
    left = tile_rectangles(*size, tiling)[0]
    assembly = TileAssembly(
        np.zeros((64, 128, 1), np.uint8), Rectangle(0, 0, *size), size, (64, 64, OVERLAP)
    )
    assembly.add(np.full((left.height, left.width, 1), 200, np.uint8), left)
    found = assembly.finish()
    assert (found[:, : left.width] == 200).all()
    assert not found[:, left.width :].any()


@pytest.mark.parametrize("value", [0, 255])
def test_what_all_tiles_agree_on_stays_exactly(value: int) -> None:
    size, tiling = (150, 90), Tiling(64, 64)
    samples = np.empty((90, 150, 1), np.uint8)
    assembly = TileAssembly(samples, Rectangle(0, 0, *size), size, (64, 64, OVERLAP))
    for where in tile_rectangles(*size, tiling):
        assembly.add(np.full((where.height, where.width, 1), value, np.uint8), where)
    assert (assembly.finish() == value).all()
