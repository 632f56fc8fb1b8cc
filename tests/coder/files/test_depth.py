"""Pictures of 9 to 16 bits a sample come in and go out as they are."""

from __future__ import annotations

import io
import logging
import struct

import numpy as np
import pytest
from picture_files import (
    needs_deep,
    png_chunk,
    png_file,
    random_samples,
    tiff_file,
)
from PIL import Image

from givre.coder.files import deep_files
from givre.coder.files.picture import Picture, narrow, widen
from givre.coder.files.pillow_output import to_image
from givre.coder.files.reading import load_picture, read_picture
from givre.coder.files.writing import encode_picture
from givre.errors import ImageError, OutputError


def assert_same(found: Picture, expected: Picture) -> None:
    assert found.bit_depth == expected.bit_depth
    assert found.samples.dtype == expected.samples.dtype
    np.testing.assert_array_equal(found.samples, expected.samples)


@pytest.mark.parametrize("bit_depth", range(8, 17))
def test_widening_keeps_black_and_white_and_can_be_undone(bit_depth: int) -> None:
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    values = np.arange(1 << bit_depth, dtype=dtype).reshape(16, -1, 2)
    wide = widen(values, bit_depth)
    assert (wide.min(), wide.max()) == (0, 65535)
    assert (np.diff(wide.ravel().astype(int)) > 0).all()
    if bit_depth > 8:
        narrowed, found = narrow(wide.copy(), bit_depth)
        assert found == bit_depth
        np.testing.assert_array_equal(narrowed, values)


@needs_deep
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bit_depth", range(9, 17))
def test_png_keeps_every_depth(channels: int, bit_depth: int) -> None:
    picture = Picture(random_samples(5, 7, channels, bit_depth), bit_depth)
    assert_same(read_picture(encode_picture(picture, "PNG"), "x"), picture)


@needs_deep
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bit_depth", [9, 12, 16])
def test_tiff_keeps_colours_over_16_bits(channels: int, bit_depth: int) -> None:
    samples = random_samples(5, 7, channels, bit_depth)
    found = read_picture(encode_picture(Picture(samples, bit_depth), "TIFF"), "x")
    assert_same(found, Picture(widen(samples, bit_depth), 16))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bit_depth", [8, 10, 16])
def test_ppm_keeps_every_depth(channels: int, bit_depth: int) -> None:
    picture = Picture(random_samples(5, 7, channels, bit_depth), bit_depth)
    assert_same(read_picture(encode_picture(picture, "PPM"), "x"), picture)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_needs_pillow_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep_files, "find_spec", lambda _: None)
    picture = Picture(random_samples(5, 7, 1, 16), 16)
    data = encode_picture(picture, kind)
    assert_same(read_picture(data, "x"), picture)
    assert Image.open(io.BytesIO(data)).mode == "I;16"


def test_missing_libraries_are_named_with_the_way_to_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deep_files, "find_spec", lambda _: None)
    with pytest.raises(
        ImageError,
        match=r"^a\.png: 16-bit colour PNG needs more libraries: pip install 'givre\[deep\]'$",
    ):
        read_picture(png_file(1, 1, depth=16, rows=bytes(7)), "a.png")
    with pytest.raises(OutputError, match=r"pip install 'givre\[deep\]'"):
        encode_picture(Picture(random_samples(2, 2, 3, 16), 16), "PNG")
    tiff = tiff_file(1, 1, bytes(6), bits=(16, 16, 16), photometric=2)
    with pytest.raises(ImageError, match=r"16-bit colour TIFF .*givre\[deep\]"):
        read_picture(tiff, "a.tif")


@needs_deep
@pytest.mark.parametrize(
    ("low", "significant", "expected"),
    [("repeated", 10, 10), ("empty", 10, 16), ("repeated", 8, 16), ("repeated", 0, 16)],
)
def test_significant_bits_count_only_if_nothing_is_lost(
    low: str, significant: int, expected: int
) -> None:
    samples = random_samples(3, 4, 3, 10)
    wide = widen(samples, 10) if low == "repeated" else samples << np.uint16(6)
    plain = encode_picture(Picture(wide, 16), "PNG")
    chunk = png_chunk(b"sBIT", bytes([significant] * 3))
    picture = read_picture(plain[:33] + chunk + plain[33:], "x")
    assert_same(picture, Picture(samples if expected == 10 else wide, expected))


def interlaced_png(samples: np.ndarray) -> bytes:
    """A 16-bit PNG file in the seven passes of Adam7."""
    rows = b""
    starts = ((0, 0), (4, 0), (0, 4), (2, 0), (0, 2), (1, 0), (0, 1))
    steps = ((8, 8), (8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2))
    for (left, top), (right, down) in zip(starts, steps, strict=True):
        part = samples[top::down, left::right].astype(">u2")
        rows += b"".join(b"\0" + row.tobytes() for row in part)
    height, width, channels = samples.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    data = png_file(width, height, depth=16, colour_type=colour_type, rows=rows)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 1)
    return data[:8] + png_chunk(b"IHDR", header) + data[33:]


@needs_deep
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_interlaced_png_is_read_without_a_word(
    channels: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    samples = random_samples(19, 21, channels, 16)
    assert_same(read_picture(interlaced_png(samples), "x"), Picture(samples, 16))
    assert capfd.readouterr() == ("", "")


def test_transparent_value_of_16_bit_grey_becomes_alpha() -> None:
    rows = b"\0" + struct.pack(">3H", 1, 258, 257)
    chunk = png_chunk(b"tRNS", struct.pack(">H", 258))
    data = png_file(3, 1, depth=16, colour_type=0, rows=rows, chunks=chunk)
    assert read_picture(data, "x").samples.tolist() == [[[1, 65535], [258, 0], [257, 65535]]]


@needs_deep
def test_transparent_colour_of_16_bit_rgb_becomes_alpha() -> None:
    rows = b"\0" + struct.pack(">6H", 1, 2, 3, 1, 2, 259)
    chunk = png_chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))
    data = png_file(2, 1, depth=16, rows=rows, chunks=chunk)
    assert read_picture(data, "x").samples.tolist() == [[[1, 2, 3, 0], [1, 2, 259, 65535]]]


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I"])
def test_deep_pillow_images_have_16_bits(mode: str) -> None:
    image = Image.new(mode, (2, 1), 40000)
    assert_same(load_picture(image), Picture(np.full((1, 2, 1), 40000, np.uint16), 16))


@pytest.mark.parametrize("value", [-1, 65536])
def test_pillow_integers_that_do_not_fit_are_refused(value: int) -> None:
    with pytest.raises(ImageError, match="out of 0 to 65535"):
        load_picture(Image.new("I", (2, 1), value))


def test_float_images_are_refused() -> None:
    with pytest.raises(ImageError, match="mode F, convert it to 16 bits first"):
        load_picture(Image.new("F", (2, 1)))


def test_uint16_array_has_16_bits() -> None:
    array = random_samples(4, 6, 3, 16)
    assert_same(load_picture(array), Picture(array, 16))


@pytest.mark.parametrize(
    "data",
    [
        png_file(1, 1, depth=16, rows=bytes(7)),
        tiff_file(1, 1, bytes(6), bits=(16, 16, 16), photometric=2),
        b"P6 1 1 65535\n" + bytes(6),
    ],
)
def test_open_image_that_pillow_cuts_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="which Pillow cuts; give the path of a PNG"):
        load_picture(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("order", ["<", ">"])
@needs_deep
def test_tiff_kinds_of_16_bits(order: str) -> None:
    values = struct.pack(order + "4H", 0, 1, 40000, 65535)
    grey = tiff_file(4, 1, values, bits=(16,), order=order)
    assert read_picture(grey, "x").samples.ravel().tolist() == [0, 1, 40000, 65535]
    inverted = tiff_file(4, 1, values, bits=(16,), photometric=0, order=order)
    assert read_picture(inverted, "x").samples.ravel().tolist() == [65535, 65534, 25535, 0]
    pair = {"bits": (16, 16), "order": order}
    plain = read_picture(tiff_file(2, 1, values, **pair, more={338: 2}), "x")
    assert plain.samples.tolist() == [[[0, 1], [40000, 65535]]]
    unsaid = read_picture(tiff_file(2, 1, values, **pair), "x")
    assert unsaid.samples.tolist() == [[[0], [40000]]]


@needs_deep
def test_tiff_alpha_that_is_multiplied_in_is_divided_out() -> None:
    values = struct.pack("<4H", 100, 200, 0, 0)
    data = tiff_file(2, 1, values, bits=(16, 16), more={338: 1})
    assert read_picture(data, "x").samples.tolist() == [[[32768, 200], [0, 0]]]


@needs_deep
def test_tiff_of_12_bits_keeps_its_depth() -> None:
    data = tiff_file(2, 1, b"\x12\x3f\xff", bits=(12,))
    assert_same(read_picture(data, "x"), Picture(np.array([[[0x123], [0xFFF]]], np.uint16), 12))


@needs_deep
@pytest.mark.parametrize(("orientation", "first"), [(1, 0), (3, 2)])
def test_deep_tiff_is_turned_upright(orientation: int, first: int) -> None:
    values = struct.pack("<9H", *range(9))
    data = tiff_file(3, 1, values, bits=(16,) * 3, photometric=2, more={274: orientation})
    assert read_picture(data, "x").samples[0, 0].tolist() == [3 * first + i for i in range(3)]


@pytest.mark.parametrize(
    ("bits", "form", "message"),
    [
        ((8,), 2, "signed samples"),
        ((16,), 2, "signed samples"),
        ((32,), 3, "32-bit samples that are floats"),
        ((32,), 1, "32-bit samples, convert it to 16 bits"),
        ((8, 16), 1, "channels of different depths"),
    ],
)
def test_tiff_samples_that_would_wrap_or_be_cut_are_refused(
    bits: tuple[int, ...], form: int, message: str
) -> None:
    data = tiff_file(1, 1, bytes(8), bits=bits, more={339: form})
    with pytest.raises(ImageError, match=message):
        read_picture(data, "a.tif")


@pytest.mark.parametrize("largest", [1000, 40000])
def test_largest_value_that_is_no_power_of_two_is_stretched(largest: int) -> None:
    data = b"P5 3 1 %d\n" % largest + struct.pack(">3H", 0, largest // 2, largest)
    assert read_picture(data, "x").samples.ravel().tolist() == [0, 32768, 65535]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"P5 2 1 65535\n" + bytes(3), "truncated"),
        (b"P6 1 1 1000\n" + bytes(4) + b"\xff\xff", "above 1000"),
        (b"P5 99999 99999 1000\n", "more than 268435456 pixels"),
    ],
)
def test_damaged_deep_netpbm_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_picture(data, "a.ppm")


@needs_deep
@pytest.mark.parametrize("bit_depth", [10, 12])
def test_deep_avif_keeps_its_depth(bit_depth: int) -> None:
    import imagecodecs

    samples = random_samples(16, 16, 3, bit_depth)
    data = imagecodecs.avif_encode(samples, level=100, bitspersample=bit_depth)
    assert_same(read_picture(data, "x"), Picture(samples, bit_depth))


@needs_deep
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bit_depth", [12, 16])
def test_deep_jpeg2000_keeps_its_depth(channels: int, bit_depth: int) -> None:
    import imagecodecs

    samples = random_samples(16, 16, channels, bit_depth)
    flat = samples[:, :, 0] if channels == 1 else samples
    data = imagecodecs.jpeg2k_encode(flat, level=0, bitspersample=bit_depth)
    assert_same(read_picture(data, "x"), Picture(samples, bit_depth))


@needs_deep
def test_hostile_deep_png_is_refused() -> None:
    whole = encode_picture(Picture(random_samples(9, 9, 3, 16), 16), "PNG")
    for data in (whole[: len(whole) // 2], png_file(9, 9, depth=16), whole[:-40]):
        with pytest.raises(ImageError, match="cannot read a"):
            read_picture(data, "a")
    for size in (10_000, 100_000):
        with pytest.raises(ImageError, match=r"truncated|more than 268435456 pixels"):
            read_picture(png_file(size, size, depth=16), "a")


@needs_deep
def test_damaged_deep_tiff_is_a_picture_or_an_image_error() -> None:
    pixels = random_samples(4, 4, 3, 16).tobytes()
    whole = tiff_file(4, 4, pixels, bits=(16,) * 3, photometric=2)
    messages = []
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 0xFF
        try:
            read_picture(bytes(data), "x")
        except ImageError as error:
            messages.append(str(error))
    assert 0 < len(messages) <= len(whole) - len(pixels)
    assert not any("\n" in message for message in messages)


def test_grey_of_any_depth_is_a_pillow_image_over_16_bits() -> None:
    image = to_image(np.array([[[0], [1023]]], np.uint16), 10)
    assert image.mode == "I;16"
    assert np.asarray(image).tolist() == [[0, 65535]]


def test_deep_colour_is_no_pillow_image() -> None:
    with pytest.raises(ImageError, match="Pillow has no image for RGB of 12 bits"):
        to_image(np.zeros((1, 1, 3), np.uint16), 12)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "AVIF", "TGA"])
def test_formats_of_8_bits_refuse_more(kind: str) -> None:
    with pytest.raises(OutputError, match=rf"{kind} has 8 bits a sample, not 12; use \.png or"):
        encode_picture(Picture(random_samples(2, 2, 3, 12), 12), kind)
