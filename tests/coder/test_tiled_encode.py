"""Pictures that are fitted tile by tile."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import givre
from givre.bitstream.container import unpack
from givre.bitstream.header import Alpha
from givre.bitstream.tiling import OVERLAP, Tiling, tile_rectangles
from givre.coder.decoder import decode_picture
from givre.coder.files.picture import Picture
from givre.coder.fitting.progress import FITTING
from givre.coder.fitting.settings import FitSettings
from givre.coder.tile_choice import TILE_PIXELS, square_tiling, usual_tiling
from givre.coder.tiled_encode import fit_and_write_tiles, tile_shares
from givre.errors import UsageError

FAST = FitSettings(lmbda=2e-3, steps=6, complexity="lop", threads=1)


def smooth(width: int, height: int, channels: int = 3, largest: int = 255) -> np.ndarray:
    """A picture without edges, so that a seam would be its largest step."""
    y, x = np.mgrid[:height, :width]
    planes = [(x * (c + 1) + y * 2) / (width * (c + 1) + 2 * height) for c in range(channels)]
    return np.rint(np.stack(planes, axis=2) * largest)


@given(st.integers(1, 1 << 16), st.integers(1, 1 << 16))
@example(4000, 3000)
@example(12000, 9000)
@example(1, 1 << 16)
def test_usual_tiles_are_few_and_none_is_too_large(width: int, height: int) -> None:
    tiling = usual_tiling(width, height)
    if width * height <= TILE_PIXELS:
        assert tiling is None
        return
    assert tiling is not None
    assert tiling.width * tiling.height <= TILE_PIXELS
    columns, rows = -(-width // tiling.width), -(-height // tiling.height)
    if min(width, height) >= 1800:
        assert columns * rows <= 2 * width * height / TILE_PIXELS + 4


def test_tiles_that_are_asked_for() -> None:
    assert square_tiling(200, 64, 128) == Tiling(128, 128)
    assert square_tiling(128, 64, 128) is None
    with pytest.raises(UsageError, match="must be a multiple of 64"):
        square_tiling(200, 64, 100)
    with pytest.raises(UsageError, match="has 24649 tiles, it must have 2 to 4096"):
        square_tiling(10_000, 10_000, 64)


def test_shares_of_all_tiles_add_up_to_one() -> None:
    size, tiling = (150, 70), Tiling(64, 64)
    total = np.zeros((70, 150))
    for where in tile_rectangles(*size, tiling):
        shares = tile_shares(where, size, tiling)
        assert shares is not None
        total[where.y : where.y + where.height, where.x : where.x + where.width] += shares
    np.testing.assert_allclose(total, 1)
    where = tile_rectangles(*size, Tiling(64, 64, overlap=0))[0]
    assert tile_shares(where, size, Tiling(64, 64, overlap=0)) is None


@pytest.mark.slow
def test_a_picture_in_tiles_comes_back_without_a_seam() -> None:
    samples = smooth(130, 70).astype(np.uint8)
    told: list[int] = []
    encoded = fit_and_write_tiles(
        Picture(samples),
        Tiling(64, 64),
        FitSettings(lmbda=1e-3, steps=60, complexity="lop", threads=1),
        lambda progress: told.append(progress.step) if progress.stage == FITTING else None,
    )
    header = unpack(encoded.data).header
    assert len(header.tiles) == encoded.report.tiles == 6
    assert header.tiling == Tiling(64, 64, overlap=OVERLAP)
    assert told[-1] == 6 * 60
    assert told == sorted(told)
    found = decode_picture(encoded.data).samples.astype(int)
    steps = np.abs(np.diff(found - samples, axis=1)).mean(axis=(0, 2))
    assert steps[63] < 3 * np.median(steps) + 1


@pytest.mark.slow
def test_all_tiles_have_what_the_picture_has() -> None:
    samples = np.rint(smooth(130, 64, 4, 4095)).astype(np.uint16)
    samples[:, :70, 3] = 4095
    samples[:, 120:, 3] = 0
    encoded = fit_and_write_tiles(Picture(samples, 12), Tiling(64, 64), FAST)
    header = unpack(encoded.data).header
    assert (header.alpha, header.bit_depth, header.channels) == (Alpha.SOFT, 12, 4)
    found = decode_picture(encoded.data)
    for end in (0, 4095):
        expected = samples[:, :, 3] == end
        np.testing.assert_array_equal(found.samples[:, :, 3] == end, expected)


@pytest.mark.slow
def test_python_cuts_where_it_is_asked_to() -> None:
    samples = smooth(100, 40).astype(np.uint8)
    options = {"lmbda": 2e-3, "steps": 2, "complexity": "lop", "threads": 1}
    assert givre.info(givre.encode(samples, tile=64, **options))["tiles"] == 2
    assert givre.info(givre.encode(samples, tile=0, **options))["tiles"] == 1
    with pytest.raises(UsageError, match="without a target"):
        givre.encode(samples, tile=64, target_psnr=30)


def test_the_number_of_levels_is_that_of_the_largest_tile() -> None:
    assert prod((1024, 1024)) > 1_000_000  # the usual number is 8 there and 7 below
    encoded = fit_and_write_tiles(Picture(smooth(130, 64).astype(np.uint8)), Tiling(128, 64), FAST)
    arch = unpack(encoded.data).header.architecture
    assert (arch.n_levels, arch.n_hyper) == (7, 3)
