"""Files of many kinds are read as they are meant, and hostile ones are refused in one line."""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from picture_files import (
    bmp_with_masks,
    file_of,
    needs_deep,
    png_chunk,
    png_file,
    random_samples,
)
from PIL import Image, ImageCms, PngImagePlugin

from givre.bitstream.metadata import Metadata
from givre.coder.files import picture as picture_module
from givre.coder.files.picture import Picture
from givre.coder.files.pillow_output import to_image
from givre.coder.files.png_chunks import read_notes
from givre.coder.files.reading import load_picture, read_picture
from givre.coder.files.writing import encode_picture
from givre.errors import ImageError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def samples_in(data: bytes) -> list[object]:
    return read_picture(data, "x").samples.tolist()


@pytest.mark.parametrize(("depth", "scale"), [(1, 255), (2, 85), (4, 17), (8, 1)])
def test_transparent_grey_of_every_depth_becomes_alpha(depth: int, scale: int) -> None:
    """The transparent value of a PNG file counts in its own bits."""
    values = [0, 1]
    packed = sum(v << (8 - depth * (i + 1)) for i, v in enumerate(values)) if depth < 8 else 0
    row = bytes([0, packed]) if depth < 8 else bytes([0, *values])
    chunk = png_chunk(b"tRNS", struct.pack(">H", 1))
    data = png_file(2, 1, depth=depth, colour_type=0, rows=row, chunks=chunk)
    assert samples_in(data) == [[[0, 255], [scale, 0]]]
    opened = load_picture(Image.open(io.BytesIO(data)))
    assert opened.samples.tolist() == [[[0, 255], [scale, 0]]]


def test_bmp_of_16_bits_a_pixel_is_read() -> None:
    pixels = struct.pack("<2H", 0b11111_000000_00000, 0b00000_111111_00000)
    data = bmp_with_masks(2, pixels, 16, (0xF800, 0x7E0, 0x1F, 0))
    assert samples_in(data) == [[list(RED), list(GREEN)]]


@pytest.mark.parametrize(
    ("bits", "masks", "pixels"),
    [
        (16, (0x7C00, 0x3E0, 0x1F, 0x8000), (0xFC00, 0x7C00)),
        (16, (0xF00, 0xF0, 0xF, 0xF000), (0xFF00, 0x0F00)),
        (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFFFF0000, 0x00FF0000)),
        (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF0000FF, 0x000000FF)),
        (32, (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000), (0xFFF00000, 0x3FF00000)),
    ],
)
def test_alpha_of_bmp_is_kept(
    bits: int, masks: tuple[int, int, int, int], pixels: tuple[int, int]
) -> None:
    data = bmp_with_masks(2, struct.pack(f"<2{'H' if bits == 16 else 'I'}", *pixels), bits, masks)
    assert samples_in(data) == [[[*RED, 255], [*RED, 0]]]


def test_cut_bmp_with_masks_is_refused() -> None:
    data = bmp_with_masks(9, bytes(36), 32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    with pytest.raises(ImageError, match="truncated"):
        read_picture(data[:-1], "x")


def gif_with_uncovered_canvas(left: int, top: int) -> bytes:
    data = bytearray(file_of(Image.new("P", (2, 1), 1), "GIF"))
    data[6:10] = struct.pack("<HH", 3, 2)
    frame = data.index(struct.pack("<B4H", ord(","), 0, 0, 2, 1))
    data[frame + 1 : frame + 5] = struct.pack("<2H", left, top)
    return bytes(data)


@pytest.mark.parametrize(
    ("left", "top", "alpha"),
    [(0, 0, [[255, 255, 0], [0, 0, 0]]), (1, 1, [[0, 0, 0], [0, 255, 255]])],
)
def test_canvas_that_a_gif_does_not_cover_is_transparent(
    left: int, top: int, alpha: list[list[int]]
) -> None:
    data = gif_with_uncovered_canvas(left, top)
    assert read_picture(data, "x").samples[:, :, -1].tolist() == alpha
    image = Image.open(io.BytesIO(data))
    image.load()
    assert load_picture(image).samples[:, :, -1].tolist() == alpha


def test_huge_canvas_that_no_frame_covers_is_refused() -> None:
    data = bytearray(gif_with_uncovered_canvas(0, 0))
    data[6:10] = struct.pack("<HH", 16384, 16384)
    with pytest.raises(ImageError, match=r"truncated, \d+ bytes cannot hold 16384x16384 pixels"):
        read_picture(bytes(data), "x")


def test_covered_gif_has_no_alpha() -> None:
    data = file_of(Image.new("P", (2, 1), 1), "GIF")
    assert read_picture(data, "x").samples.shape[2] in (1, 3)


def film(kind: str, count: int = 3, **options: object) -> bytes:
    frames = [Image.new("RGB", (8, 8), (40 * i, 0, 0)) for i in range(count)]
    return file_of(frames[0], kind, save_all=True, append_images=frames[1:], **options)


FRAMES = {
    "GIF": "a has several frames, the first one is taken",
    "PNG": "a has several frames, the first one is taken",
    "WEBP": "a has several frames, the first one is taken",
    "TIFF": "a has several pages, the first one is taken",
    "MPO": "a has several pictures, the main one is taken",
}


@pytest.mark.parametrize("kind", FRAMES)
def test_several_frames_are_told_with_the_right_word(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    picture = read_picture(film(kind), "a")
    assert abs(int(picture.samples[0, 0, 0])) < 5
    assert caplog.messages == [FRAMES[kind]]


def test_still_picture_of_an_animation(caplog: pytest.LogCaptureFixture) -> None:
    data = film("PNG", default_image=True)
    assert read_picture(data, "a").samples[0, 0, 0] == 0
    assert caplog.messages == ["a has several frames, the still picture is taken"]


@pytest.mark.parametrize(("kind", "word"), [("GIF", "frame"), ("TIFF", "page"), ("MPO", "picture")])
def test_frame_that_was_sought_is_taken_and_named(
    kind: str, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = Image.open(io.BytesIO(film(kind)))
    image.seek(2)
    assert abs(int(load_picture(image).samples[0, 0, 0]) - 80) < 5
    assert caplog.messages == [f"the image has several {word}s, number 3 is taken"]


@needs_deep
def test_pages_of_deep_tiff_are_told(caplog: pytest.LogCaptureFixture) -> None:
    import tifffile

    pages = np.stack([random_samples(4, 5, 3, 16, seed) for seed in (1, 2)])
    content = io.BytesIO()
    tifffile.imwrite(content, pages, photometric="rgb")
    np.testing.assert_array_equal(read_picture(content.getvalue(), "a").samples, pages[0])
    assert caplog.messages == [FRAMES["TIFF"]]


def psd_with_layers(layers: int) -> bytes:
    """A grey Photoshop file of 2x2 pixels with so many empty layers."""
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 2, 2, 8, 1)
    layer = struct.pack(">4iH", 0, 0, 0, 0, 1) + struct.pack(">hI", 0, 2)
    layer += b"8BIMnorm" + bytes([255, 0, 0, 0]) + struct.pack(">I", 12) + bytes(12)
    records = struct.pack(">h", layers) + layer * layers + bytes(2) * layers
    section = struct.pack(">I", len(records)) + records
    return header + bytes(8) + struct.pack(">I", len(section)) + section + bytes(2) + b"\1\2\3\4"


def test_layers_are_no_frames(caplog: pytest.LogCaptureFixture) -> None:
    data = psd_with_layers(2)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert samples_in(data) == [[[1], [2]], [[3], [4]]]
    assert caplog.messages == []


class Stream:
    """A file object that cannot be sought and gives a few bytes at a time, as a network's."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._rest.read(min(size, 7))


def test_file_objects_are_read(tmp_path: Path) -> None:
    samples = random_samples(3, 4, 3)
    data = file_of(to_image(samples))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with path.open("rb") as stream:
        for source in (stream, io.BytesIO(data), Stream(data)):
            np.testing.assert_array_equal(load_picture(source).samples, samples)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (io.StringIO("text"), "the stream is open for text, open it for bytes"),
        (Stream(b""), "the stream is empty"),
        (Stream(b"text"), "not an image of a known format"),
    ],
)
def test_file_objects_that_hold_no_image_are_refused(source: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        load_picture(source)  # type: ignore[arg-type]


def cmyk_profile() -> bytes:
    """A CMYK profile with one grid: white paper, and each ink takes all of the light."""
    grid = b"".join(
        struct.pack(">3H", 0 if any(inks) else 65280, 32768, 32768)
        for inks in np.ndindex(2, 2, 2, 2)
    )
    table = b"".join(struct.pack(">2H", 0, 65535) for _ in range(4))
    output = b"".join(struct.pack(">2H", 0, 65535) for _ in range(3))
    identity = struct.pack(">9I", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + struct.pack(">2H", 2, 2)
    lut += table + grid + output
    start = 132 + 12
    header = struct.pack(">I4xI4s4s4s6H4s24xI3I48x", start + len(lut), 0x02100000, b"prtr", b"CMYK",
                         b"Lab ", 2000, 1, 1, 0, 0, 0, b"acsp", 0, 63190, 65536, 54061)  # fmt: skip
    return header + struct.pack(">I", 1) + b"A2B0" + struct.pack(">II", start, len(lut)) + lut


def test_cmyk_becomes_srgb_through_its_profile(caplog: pytest.LogCaptureFixture) -> None:
    image = Image.new("CMYK", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 0))
    data = file_of(image, "TIFF", icc_profile=cmyk_profile())
    picture = read_picture(data, "a.tif")
    # The profile's ink is black, that of the guess is cyan.
    assert picture.samples.tolist() == [[[0, 0, 0], [255, 255, 255]]]
    assert picture.metadata.icc == b""
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, "a.tif is CMYK without a profile, its colours are a guess"),
        (
            {"icc_profile": b"damaged" * 30},
            "the profile of a.tif cannot be used, its colours are a guess",
        ),
    ],
)
def test_cmyk_without_a_profile_is_guessed_with_a_line(
    options: dict[str, bytes], line: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = file_of(Image.new("CMYK", (1, 1), (0, 255, 255, 0)), "TIFF", **options)
    picture = read_picture(data, "a.tif")
    assert picture == Picture(picture.samples, 8, Metadata())
    assert picture.samples.tolist() == [[list(RED)]]
    assert caplog.messages == [line]


def test_lab_is_srgb_without_a_line(caplog: pytest.LogCaptureFixture) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = Image.new("RGB", (1, 1), (200, 100, 50))
    converted = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
    found = load_picture(converted).samples.astype(int)
    assert np.abs(found - [200, 100, 50]).max() <= 3  # LAB of 8 bits is coarse
    assert caplog.messages == []


def test_large_pictures_are_converted_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_module, "_BAND_PIXELS", 30)
    samples = random_samples(17, 10, 3)
    np.testing.assert_array_equal(read_picture(file_of(to_image(samples)), "x").samples, samples)
    palette = to_image(samples).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(read_picture(file_of(palette), "x").samples, expected)


def test_limit_of_pixels_is_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    data = file_of(to_image(random_samples(40, 50, 3)))
    assert read_picture(data, "x").samples.shape == (40, 50, 3)
    monkeypatch.setattr(picture_module, "MAX_PIXELS", 1999)
    with pytest.raises(ImageError, match="x has more than 1999 pixels, make it smaller"):
        read_picture(data, "x")
    assert Image.MAX_IMAGE_PIXELS == 1


def test_warnings_and_logs_of_libraries_do_not_reach_the_terminal(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
) -> None:
    def noisy(image: object) -> None:
        warnings.warn("from Pillow", stacklevel=1)
        logging.getLogger("PIL.Image").warning("from Pillow's log")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_prepare", noisy, raising=True)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with pytest.raises(ImageError):
        read_picture(file_of(Image.new("RGB", (2, 2))), "x")
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError()])
def test_errors_of_the_surroundings_are_not_the_images(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    data = file_of(Image.new("RGB", (2, 2)))
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_prepare", fail)
    with pytest.raises(type(error)) as caught:
        read_picture(data, "x")
    assert caught.value is error


HOSTILE = {
    "WEBP": {"lossless": True},
    "JPEG": {},
    "TIFF": {"compression": "tiff_lzw"},
    "GIF": {},
    "BMP": {},
    "AVIF": {},
    "JPEG2000": {},
    "PNG": {},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_damaged_file_is_a_picture_or_an_error_of_one_line(kind: str) -> None:
    whole = file_of(to_image(random_samples(9, 9, 3)), kind, **HOSTILE[kind])
    rng = np.random.default_rng(2)
    messages = []
    for _ in range(150):
        data = bytearray(whole)
        for position in rng.integers(0, min(len(data), 300), 2):
            data[position] = rng.integers(0, 256)
        try:
            found = read_picture(bytes(data), "x")
        except ImageError as error:
            messages.append(str(error))
        else:
            assert found.samples.dtype in (np.uint8, np.uint16)
    assert messages
    assert not any("\n" in message or len(message) > 300 for message in messages)


def test_bomb_is_not_unpacked_whole() -> None:
    bombs = png_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(1 << 24)))
    xmp = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(1 << 24))
    data = png_file(1, 1, rows=b"\0\1\2\3", chunks=bombs + png_chunk(b"iTXt", xmp))
    notes = read_notes(data, limit=20_000)
    assert (len(notes.icc), len(notes.xmp)) == (20_001, 20_001)


def test_damaged_file_of_a_known_format_is_named() -> None:
    whole = file_of(to_image(random_samples(2, 3, 1)), "TIFF", description="Frost")
    place = whole.index(struct.pack("<HHI", 270, 2, 6)) + 8
    data = whole[:place] + b"\xff\xff\xff\x7f" + whole[place + 4 :]
    with pytest.raises(ImageError, match=r"^cannot read x: it is TIFF, damaged or of a kind"):
        read_picture(data, "x")


def test_read_picture_written_anew_is_the_same() -> None:
    picture = Picture(random_samples(6, 5, 4), 8)
    for kind in ("PNG", "TIFF", "WEBP", "TGA", "QOI", "JPEG2000"):
        found = read_picture(encode_picture(picture, kind), "x")
        np.testing.assert_array_equal(found.samples, picture.samples)
