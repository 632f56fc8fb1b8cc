"""What a fit aims at: samples, weights, and what the loss makes of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from givre.bitstream.alpha_mask import BETWEEN, OPAQUE, TRANSPARENT
from givre.bitstream.header import Alpha
from givre.coder.files.picture import AnySamples, Picture
from givre.coder.fitting.normalisation import make_target
from givre.coder.fitting.source import Source, check_samples, source_of
from givre.coder.psnr import mean_squared_error
from givre.errors import ImageError
from givre.models.synthesis import distortion

SHAPE = 6, 5
DEPTHS = [8, 9, 12, 16]


def typed(samples: np.ndarray, depth: int) -> AnySamples:
    return samples.astype(np.uint8) if depth == 8 else samples.astype(np.uint16)


def picture(channels: int, depth: int = 8, alpha: str = "soft", seed: int = 0) -> Picture:
    """Random colours, and alpha that is opaque, at both ends, or anything."""
    rng, largest = np.random.default_rng(seed), (1 << depth) - 1
    samples = rng.integers(0, largest + 1, (*SHAPE, channels))
    if channels % 2 == 0:
        ends = largest * rng.integers(0, 2, SHAPE)
        ends[0, :2] = 0, largest
        plane = {"opaque": largest, "hidden": 0, "ends": ends}.get(alpha)
        if plane is None:
            plane = np.where(rng.random(SHAPE) < 0.5, ends, samples[:, :, -1])
            plane[0, 2] = 1
        samples[:, :, -1] = plane
    return Picture(typed(samples, depth), depth)


# --- taking apart -------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_without_alpha_are_as_they_are(channels: int, depth: int) -> None:
    given_picture = picture(channels, depth)
    source = source_of(given_picture)
    assert source.samples is given_picture.samples
    assert (source.alpha, source.opacity, source.classes) == (Alpha.NONE, None, None)
    assert (source.colours, source.largest) == (channels, (1 << depth) - 1)
    assert source.factors is None
    assert source.seen == 1


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_that_is_opaque_throughout_is_dropped(channels: int, depth: int) -> None:
    given_picture = picture(channels, depth, "opaque")
    source = source_of(given_picture)
    assert (source.alpha, source.opacity, source.classes) == (Alpha.NONE, None, None)
    assert np.array_equal(source.samples, given_picture.samples[:, :, :-1])
    assert source.samples.flags.c_contiguous
    assert source.digest == source_of(Picture(given_picture.samples[:, :, :-1], depth)).digest


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_at_both_ends_is_a_mask_and_no_output(channels: int, depth: int) -> None:
    given_picture = picture(channels, depth, "ends")
    source = source_of(given_picture)
    alpha = given_picture.samples[:, :, -1]
    assert source.alpha is Alpha.MASK
    assert np.array_equal(source.samples, given_picture.samples[:, :, :-1])
    assert source.colours == source.samples.shape[2] == channels - 1
    assert source.classes is not None
    assert source.opacity is not None
    assert np.array_equal(source.classes, np.where(alpha == 0, TRANSPARENT, OPAQUE))
    assert np.array_equal(source.opacity, (alpha > 0).astype(np.float32))
    assert source.seen == pytest.approx((alpha > 0).mean())


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("channels", [2, 4])
def test_soft_alpha_is_the_last_output(channels: int, depth: int) -> None:
    given_picture = picture(channels, depth)
    source = source_of(given_picture)
    alpha, largest = given_picture.samples[:, :, -1], (1 << depth) - 1
    assert source.alpha is Alpha.SOFT
    assert source.samples is given_picture.samples
    assert source.colours == channels - 1
    assert np.array_equal(source.colour_samples, given_picture.samples[:, :, :-1])
    assert source.opacity is not None
    assert source.opacity.dtype == np.float32
    np.testing.assert_allclose(source.opacity, alpha / largest, rtol=1e-6)
    assert source.seen == pytest.approx(float((alpha / largest).mean()), rel=1e-6)
    assert source.factors is not None
    assert source.factors.dtype == np.float32
    assert source.factors.shape == (*SHAPE, channels)
    for channel in range(channels - 1):
        assert np.array_equal(source.factors[:, :, channel], source.opacity)
    inside = (alpha > 0) & (alpha < largest)
    assert np.array_equal(source.factors[:, :, -1], inside)


@pytest.mark.parametrize("channels", [2, 4])
def test_what_is_hidden_throughout_still_counts_a_pixel(channels: int) -> None:
    """Rates are divided by what is seen, so it is never 0."""
    source = source_of(picture(channels, alpha="hidden"))
    assert source.alpha is Alpha.MASK
    assert source.seen == 1 / (SHAPE[0] * SHAPE[1])
    assert source.factors is not None
    assert not source.factors.any()


def test_a_part_of_a_larger_picture_has_what_the_whole_has() -> None:
    opaque, ends = picture(4, alpha="opaque"), picture(4, alpha="ends")
    soft = source_of(opaque, Alpha.SOFT)
    assert soft.samples.shape[2] == 4
    assert soft.classes is not None
    assert (soft.classes == OPAQUE).all()
    assert soft.factors is not None
    assert not soft.factors[:, :, -1].any()
    mask = source_of(opaque, Alpha.MASK)
    assert mask.samples.shape[2] == 3
    assert mask.seen == 1
    assert source_of(ends, Alpha.SOFT).samples.shape[2] == 4


def test_shares_of_overlapping_tiles_multiply_the_weights() -> None:
    shares = np.linspace(0.1, 1, 30, dtype=np.float32).reshape(SHAPE)
    colours = replace(source_of(picture(3)), shares=shares)
    assert colours.factors is not None
    assert np.array_equal(colours.factors, np.repeat(shares[:, :, None], 3, axis=2))
    soft = source_of(picture(4))
    assert soft.factors is not None
    shared = replace(soft, shares=shares).factors
    assert shared is not None
    np.testing.assert_allclose(shared, soft.factors * shares[:, :, None], rtol=1e-6)


# --- digest -------------------------------------------------------------------------------------


def test_the_digest_is_of_all_that_is_to_be_coded() -> None:
    base = source_of(picture(4))
    assert source_of(picture(4)).digest == base.digest
    assert len(base.digest) == 64
    changed = picture(4).samples.copy()
    changed[3, 3, 0] ^= 1
    hidden = picture(4).samples.copy()
    hidden[0, 3, 3] = 77 if hidden[0, 3, 3] != 77 else 78
    others = [
        source_of(Picture(changed)),
        source_of(Picture(hidden)),
        source_of(Picture(base.samples.reshape(5, 6, 4))),
        source_of(Picture(base.samples.astype(np.uint16), 9)),
        source_of(picture(4, alpha="ends")),
        source_of(Picture(base.samples[:, :, :3].copy())),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 7


def test_the_digest_tells_masks_apart() -> None:
    """The same colours under another mask."""
    samples = picture(4, alpha="ends").samples
    other = samples.copy()
    other[:, :, -1] = 255 - other[:, :, -1]
    first, second = source_of(Picture(samples)), source_of(Picture(other))
    assert np.array_equal(first.samples, second.samples)
    assert first.digest != second.digest


def test_the_digest_tells_bits_of_samples_apart() -> None:
    samples = picture(3).samples.astype(np.uint16)
    digests = {source_of(Picture(samples, depth)).digest for depth in range(9, 17)}
    assert len(digests) == 8


# --- samples that are refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "depth", "message"),
    [
        (np.zeros((2, 2, 3), np.uint8), 7, "samples have 7 bits, they must have 8 to 16"),
        (np.zeros((2, 2, 3), np.uint16), 17, "samples have 17 bits"),
        (np.zeros((2, 2, 3), np.uint8), 0, "samples have 0 bits"),
        (np.zeros((2, 2, 3), np.uint16), 8, "samples are of type uint16, they must be uint8"),
        (np.zeros((2, 2, 3), np.uint8), 9, "samples are of type uint8, they must be uint16"),
        (np.zeros((2, 2, 3), np.uint8), 16, "samples are of type uint8, they must be uint16"),
        (np.zeros((2, 2, 3), np.int16), 16, "samples are of type int16"),
        (np.zeros((2, 2, 3), np.float32), 8, "samples are of type float32"),
        (np.zeros((2, 2, 3), bool), 8, "samples are of type bool"),
        (
            np.zeros((2, 2), np.uint8),
            8,
            r"samples have shape \(2, 2\), it must be \(H, W, 1 to 4\)",
        ),
        (np.zeros((2, 2, 0), np.uint8), 8, r"samples have shape \(2, 2, 0\)"),
        (np.zeros((2, 2, 5), np.uint8), 8, r"samples have shape \(2, 2, 5\)"),
        (np.zeros((0, 2, 3), np.uint8), 8, r"samples have shape \(0, 2, 3\)"),
        (np.zeros((2, 0, 3), np.uint16), 10, r"samples have shape \(2, 0, 3\)"),
        (np.zeros((1, 2, 2, 3), np.uint8), 8, r"samples have shape \(1, 2, 2, 3\)"),
        (np.full((2, 2, 3), 512, np.uint16), 9, "a sample is 512, which is more than 9 bits"),
        (np.full((2, 2, 1), 65535, np.uint16), 15, "a sample is 65535, which is more than 15 bits"),
    ],
)
def test_samples_that_the_codec_does_not_take(
    samples: AnySamples, depth: int, message: str
) -> None:
    for check in (
        lambda: check_samples(samples, depth),
        lambda: source_of(Picture(samples, depth)),
    ):
        with pytest.raises(ImageError, match=f"^{message}[^\n]*$"):
            check()


@pytest.mark.parametrize("depth", range(8, 17))
@pytest.mark.parametrize("channels", range(1, 5))
def test_the_largest_sample_is_taken(channels: int, depth: int) -> None:
    check_samples(typed(np.full((1, 1, channels), (1 << depth) - 1), depth), depth)


def test_one_sample_too_large_among_many_is_seen() -> None:
    samples = np.zeros((50, 40, 3), np.uint16)
    samples[49, 39, 2] = 1024
    with pytest.raises(ImageError, match="a sample is 1024"):
        check_samples(samples, 10)


def test_samples_of_another_byte_order_are_refused_or_the_same() -> None:
    """Big-endian samples are of another type for NumPy."""
    samples = picture(3, 16).samples
    with pytest.raises(ImageError, match="samples are of type >u2, they must be uint16"):
        check_samples(samples.astype(">u2"), 16)


# --- what the loss sees -------------------------------------------------------------------------


def error_by_hand(source: Source, shown: np.ndarray) -> float:
    """Weighted squared errors over all samples of the colours."""
    factors = np.ones(source.samples.shape) if source.factors is None else source.factors
    squares = (shown - source.samples.astype(float)) ** 2 / source.largest**2
    return float((squares * factors).sum() / (squares[:, :, 0].size * source.colours))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.sampled_from(DEPTHS),
    st.sampled_from(["opaque", "ends", "soft"]),
    st.integers(0, 99),
    st.booleans(),
)
def test_the_distortion_is_the_error_of_what_is_seen(
    channels: int, depth: int, alpha: str, seed: int, shared: bool
) -> None:
    source = source_of(picture(channels, depth, alpha, seed))
    if shared:
        shares = np.random.default_rng(seed).random(SHAPE) * 0.9 + 0.1
        source = replace(source, shares=shares.astype(np.float32))
    target = make_target(source)
    noise = torch.randn(target.normalised.shape, generator=torch.Generator().manual_seed(seed))
    shown = (target.normalised + 0.2 * noise).clamp(0, 1)
    low, high = (np.array(ends, float)[:, None, None] for ends in (target.low, target.high))
    samples = np.moveaxis(low + shown[0].double().numpy() * (high - low), 0, 2)
    found = float(distortion(shown, target.normalised, target.span))
    assert found == pytest.approx(error_by_hand(source, samples), rel=2e-5, abs=1e-12)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("alpha", ["opaque", "ends"])
def test_the_distortion_of_colours_is_what_is_measured(alpha: str, depth: int) -> None:
    """But for what is seen of the picture: a measure divides by it."""
    source = source_of(picture(4, depth, alpha))
    target = make_target(source)
    other = np.roll(source.samples, 1, axis=0)
    low, high = (np.array(ends, float) for ends in (target.low, target.high))
    shown = torch.tensor(np.moveaxis((other - low) / (high - low), 2, 0)[None].clip(0, 1)).float()
    clamped = typed(np.rint(low + np.moveaxis(shown[0].numpy(), 0, 2) * (high - low)), depth)
    measured = mean_squared_error(source.samples, clamped, source.largest, source.opacity)
    found = float(distortion(shown, target.normalised, target.span))
    assert found == pytest.approx(measured * source.seen, rel=1e-4)


@pytest.mark.parametrize("depth", DEPTHS)
def test_samples_are_mapped_from_their_own_range(depth: int) -> None:
    source = source_of(picture(3, depth))
    target = make_target(source)
    planes = np.moveaxis(source.samples, 2, 0)
    assert target.low == tuple(int(plane.min()) for plane in planes)
    assert target.high == tuple(int(plane.max()) for plane in planes)
    assert target.span.shape == (3, 1, 1)
    assert float(target.normalised.min()) == 0
    assert float(target.normalised.max()) == 1
    back = np.array(target.low) + target.normalised[0].permute(1, 2, 0).double().numpy() * (
        np.array(target.high) - np.array(target.low)
    )
    np.testing.assert_allclose(back, source.samples, atol=1e-2)


def test_what_is_never_seen_takes_no_part_in_the_range() -> None:
    samples = np.full((*SHAPE, 4), 100, np.uint8)
    samples[:, :, 0] += np.arange(30, dtype=np.uint8).reshape(SHAPE)
    samples[:, :, 3] = 255
    samples[0, 0] = 0, 255, 7, 0
    source = source_of(Picture(samples))
    target = make_target(source)
    assert target.low == (101, 100, 100)
    assert target.high == (129, 100, 100)
    assert target.span.shape == (3, *SHAPE)
    assert not target.span[:, 0, 0].any()
    assert not target.span[1:].any()
    # A hidden sample is the mean of those that are seen.
    seen = (samples[:, :, 0].astype(float).ravel()[1:] - 101) / 28
    assert float(target.normalised[0, 0, 0, 0]) == pytest.approx(seen.mean(), abs=1e-6)
    assert float(target.mean[0]) == pytest.approx(seen.mean(), abs=1e-6)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("alpha", ["hidden", "faint"])
def test_a_picture_of_which_nothing_is_seen_has_a_target(channels: int, alpha: str) -> None:
    """Of one that is hidden throughout, and of one that is almost so: one pixel with alpha 1."""
    samples = picture(channels, alpha="hidden").samples.copy()
    if alpha == "faint":
        samples[2, 2, -1] = 1
    target = make_target(source_of(Picture(samples)))
    for tensor in (target.normalised, target.span, target.mean):
        assert bool(torch.isfinite(tensor).all())
    assert float(target.normalised.min()) >= 0
    assert float(target.normalised.max()) <= 1
    assert all(0 <= low <= high for low, high in zip(target.low, target.high, strict=True))
    assert bool((target.span[: channels - 1] == 0).all())


def test_soft_alpha_has_the_range_of_what_is_between() -> None:
    samples = np.full((*SHAPE, 2), 9, np.uint8)
    samples[:, :, 1] = 255
    samples[0, :3, 1] = 0, 40, 60
    source = source_of(Picture(samples))
    assert source.classes is not None
    assert (source.classes == BETWEEN).sum() == 2
    target = make_target(source)
    assert (target.low[1], target.high[1]) == (40, 60)
