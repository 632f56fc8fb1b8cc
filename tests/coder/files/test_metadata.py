"""What belongs to a picture comes in, is checked, and goes out."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from picture_files import (
    exif_block,
    exif_values,
    file_of,
    needs_deep,
    png_chunk,
    png_file,
    random_samples,
    tiff_file,
)
from PIL import Image, ImageCms, ImageOps

from givre.bitstream.metadata import Metadata
from givre.coder.files import png_chunks
from givre.coder.files.kept_metadata import LIMIT, kept
from givre.coder.files.orientation import upright
from givre.coder.files.picture import Picture
from givre.coder.files.pillow_output import to_image
from givre.coder.files.profiles import (
    SRGB_CHROMATICITIES,
    make_profile,
    profile_fault,
    profile_of_code,
)
from givre.coder.files.reading import load_picture, read_picture
from givre.coder.files.tiff_directory import read_directory
from givre.coder.files.writing import encode_picture
from givre.errors import ImageError

RGB_PROFILE = make_profile(1 / 1.8, None, 3)
GREY_PROFILE = make_profile(1 / 1.8, None, 1)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description dc:title="Frost"/></x:xmpmeta>'
PIXEL = b"\0\1\2\3"


def profile_for(channels: int) -> bytes:
    return GREY_PROFILE if channels < 3 else RGB_PROFILE


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
def test_png_keeps_every_byte(channels: int, order: str) -> None:
    metadata = Metadata(profile_for(channels), exif_block(1, order=order), XMP, (9, 16, 0, 1))
    picture = Picture(random_samples(5, 7, channels), 8, metadata)
    data = encode_picture(picture, "PNG")
    assert read_picture(data, "x").metadata == metadata
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.info["icc_profile"] == metadata.icc
        assert image.info["xmp"] == XMP
        assert image.getexif()[271] == "Givre"


@needs_deep
@pytest.mark.parametrize("channels", [1, 3])
def test_deep_png_keeps_every_byte(channels: int) -> None:
    metadata = Metadata(profile_for(channels), exif_block(1), XMP, (12, 13, 0, 1))
    picture = Picture(random_samples(5, 7, channels, 12), 12, metadata)
    assert read_picture(encode_picture(picture, "PNG"), "x").metadata == metadata


@pytest.mark.parametrize(
    ("kind", "channels"),
    [("JPEG", 1), ("JPEG", 3), ("WEBP", 3), ("WEBP", 4), ("AVIF", 3), ("AVIF", 4)]
    + [("TIFF", channels) for channels in (1, 2, 3, 4)],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_other_formats_keep_what_it_says(kind: str, channels: int, order: str) -> None:
    exif = exif_block(1, order=order)
    metadata = Metadata(profile_for(channels), exif, XMP)
    samples = random_samples(5, 7, channels)
    found = read_picture(encode_picture(Picture(samples, 8, metadata), kind), "x")
    assert found.metadata.icc == metadata.icc
    assert found.metadata.xmp == XMP
    expected = exif_values(exif)
    if kind == "AVIF":  # it has the orientation in a place of its own
        del expected[274]
    assert exif_values(found.metadata.exif) == expected
    if kind == "TIFF":
        np.testing.assert_array_equal(found.samples, samples)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_no_metadata_stays_none(kind: str) -> None:
    data = encode_picture(Picture(random_samples(3, 4, 3)), kind)
    assert read_picture(data, "x").metadata == Metadata()


@pytest.mark.parametrize("value", range(1, 9))
def test_turning_is_that_of_pillow(value: int) -> None:
    samples = random_samples(4, 6, 3)
    image = to_image(samples)
    image.getexif()[274] = value
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(upright(samples, value), expected)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF", "JPEG"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_applied_and_then_1(kind: str, order: str) -> None:
    samples = random_samples(4, 6, 3)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = file_of(
        to_image(samples), kind, exif=b"Exif\0\0" + exif_block(6, order=order), **options
    )
    picture = read_picture(data, "x")
    assert picture.samples.shape == (6, 4, 3)
    if kind not in ("AVIF", "JPEG"):
        np.testing.assert_array_equal(picture.samples, upright(samples, 6))
    assert exif_values(picture.metadata.exif).get(274, 1) == 1
    assert exif_values(picture.metadata.exif)[271] == "Givre"


def test_only_the_orientation_of_exif_is_changed() -> None:
    exif = exif_block(8)
    data = file_of(to_image(random_samples(4, 6, 3)), exif=exif)
    found = read_picture(data, "x").metadata.exif
    assert [a for a, b in zip(exif, found, strict=True) if a != b] == [8]


@pytest.mark.parametrize(
    "form", [b'tiff:Orientation="6"', b"<tiff:Orientation>6</tiff:Orientation>"]
)
def test_orientation_of_xmp_counts_if_exif_has_none(form: bytes) -> None:
    samples = random_samples(4, 6, 3)
    xmp = b"<x " + form + b"/>"
    chunk = png_chunk(*png_chunks.xmp_chunk(xmp))
    plain = file_of(to_image(samples))
    picture = read_picture(plain[:33] + chunk + plain[33:], "x")
    np.testing.assert_array_equal(picture.samples, upright(samples, 6))
    assert picture.metadata.xmp == xmp.replace(b"6", b"1")
    with_exif = file_of(to_image(samples), exif=exif_block(1))
    picture = read_picture(with_exif[:33] + chunk + with_exif[33:], "x")
    np.testing.assert_array_equal(picture.samples, samples)
    assert picture.metadata.xmp == xmp.replace(b"6", b"1")


def test_open_image_is_turned_as_its_file_is() -> None:
    samples = random_samples(4, 6, 3)
    data = file_of(to_image(samples), exif=exif_block(6))
    opened = load_picture(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(opened.samples, upright(samples, 6))
    assert opened.metadata == read_picture(data, "x").metadata


@pytest.mark.parametrize(
    ("change", "shape"), [("thumbnail", (6, 3, 3)), ("exif_transpose", (12, 6, 3))]
)
def test_open_image_that_was_changed_in_place(change: str, shape: tuple[int, ...]) -> None:
    data = file_of(to_image(random_samples(6, 12, 3)), exif=exif_block(6))
    image = Image.open(io.BytesIO(data))
    if change == "thumbnail":
        image.thumbnail((6, 6))
    else:
        ImageOps.exif_transpose(image, in_place=True)
    assert load_picture(image).samples.shape == shape


@pytest.mark.parametrize("operation", ["rotate", "copy", "convert"])
def test_image_that_came_out_of_an_operation_is_not_turned(operation: str) -> None:
    samples = random_samples(4, 6, 3)
    image = Image.open(io.BytesIO(file_of(to_image(samples), exif=exif_block(6))))
    changed = {
        "rotate": lambda: image.rotate(90, expand=True),
        "copy": image.copy,
        "convert": lambda: image.convert("RGBA").convert("RGB"),
    }[operation]()
    expected = np.rot90(samples) if operation == "rotate" else samples
    picture = load_picture(changed)
    np.testing.assert_array_equal(picture.samples, expected)
    assert exif_values(picture.metadata.exif)[274] == 1


def exif_with_a_far_value(orientation: int) -> bytes:
    exif = exif_block(orientation)
    place = exif.index(struct.pack("<HHI", 271, 2, 6)) + 8
    return exif[:place] + b"\xff" * 4 + exif[place + 4 :]


DAMAGED_EXIF = {
    "text": b"no exif",
    "cut": exif_block(6)[:20],
    "far directory": b"II*\0\xff\xff\xff\xff",
    "far value": exif_with_a_far_value(1),
}


@pytest.mark.parametrize("exif", DAMAGED_EXIF.values(), ids=DAMAGED_EXIF)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_exif_costs_only_itself(
    exif: bytes, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = Image.new("RGB", (3, 2), (9, 9, 9))
    data = file_of(image, kind, exif=b"Exif\0\0" + exif, icc_profile=RGB_PROFILE)
    picture = read_picture(data, "a.png")
    assert picture.samples.shape == (2, 3, 3)
    assert picture.metadata == Metadata(RGB_PROFILE)
    assert caplog.messages == ["the EXIF of a.png is damaged, it is left out"]


def test_orientation_counts_though_another_value_is_damaged() -> None:
    samples = random_samples(4, 6, 3)
    data = file_of(to_image(samples), exif=exif_with_a_far_value(6))
    picture = read_picture(data, "x")
    np.testing.assert_array_equal(picture.samples, upright(samples, 6))
    assert picture.metadata == Metadata()


@pytest.mark.parametrize(
    ("chunk", "subject"),
    [
        (png_chunk(b"iCCP", b"name\0\0no deflate"), "its colour profile"),
        (png_chunk(b"iCCP", b"name\0\0" + zlib.compress(RGB_PROFILE)[:-9]), "its colour profile"),
        (png_chunk(b"eXIf", exif_block(6))[:-4] + b"wrng", "its EXIF"),
        (png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no deflate"), "its XMP"),
        (png_chunk(b"zTXt", b"Raw profile type exif\0\0no deflate"), "its EXIF"),
        (png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n4\nno hex"), "its EXIF"),
        (png_chunk(b"cICP", b"\1"), "its colour code"),
        (png_chunk(b"gAMA", b"\1"), "its gamma"),
        (png_chunk(b"cHRM", b"\1"), "its primaries"),
        (png_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(LIMIT + 2))), None),
    ],
)
def test_damaged_chunk_costs_only_itself(
    chunk: bytes, subject: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    picture = read_picture(png_file(1, 1, rows=PIXEL, chunks=chunk), "a.png")
    assert picture.samples.tolist() == [[[1, 2, 3]]]
    assert picture.metadata == Metadata()
    if subject:
        assert caplog.messages == [f"a.png: {subject} is damaged or too large and left out"]
    else:
        assert caplog.messages == ["the colour profile of a.png is damaged, it is left out"]


@pytest.mark.parametrize("keyword", [b"exif", b"APP1"])
def test_exif_that_older_programs_write_as_text(keyword: bytes) -> None:
    exif = exif_block(6)
    text = b"\nexif\n%8d\n%s\n" % (len(exif) + 6, (b"Exif\0\0" + exif).hex().encode())
    chunk = png_chunk(b"zTXt", b"Raw profile type " + keyword + b"\0\0" + zlib.compress(text))
    rows = b"\0\1\2\3\4\5\6"
    picture = read_picture(png_file(2, 1, rows=rows, chunks=chunk), "x")
    assert picture.samples.tolist() == [[[1, 2, 3]], [[4, 5, 6]]]
    assert exif_values(picture.metadata.exif) == exif_values(exif_block(1))


def test_too_many_chunks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_chunks, "MAX_CHUNKS", 10)
    data = png_file(1, 1, rows=PIXEL, chunks=png_chunk(b"teSt", b"") * 8)
    with pytest.raises(ImageError, match="more than 10 chunks"):
        read_picture(data, "x")
    assert read_picture(data.replace(png_chunk(b"teSt", b"") * 2, b"", 1), "x").bit_depth == 8


@pytest.mark.parametrize(
    ("icc", "channels", "message"),
    [
        (b"no profile" * 30, 3, "is damaged"),
        (RGB_PROFILE[:200], 3, "is damaged"),
        (RGB_PROFILE[:140] + b"\xff\xff\xff\xff" + RGB_PROFILE[144:], 3, "is damaged"),
        (RGB_PROFILE, 1, "is for RGB and not for grey"),
        (GREY_PROFILE, 3, "is for GRAY and not for RGB"),
        (RGB_PROFILE.replace(b"RGB ", b"CMYK", 1), 3, "is for CMYK and not for RGB"),
    ],
)
def test_profile_that_is_of_no_use_is_left_out(
    icc: bytes, channels: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = file_of(to_image(random_samples(2, 3, channels)), icc_profile=icc)
    assert read_picture(data, "a.png").metadata == Metadata()
    assert caplog.messages == [f"the colour profile of a.png {message}, it is left out"]


def test_metadata_over_the_limit_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    exif = exif_block(1)
    fits = b" " * (LIMIT - len(RGB_PROFILE) - len(exif))
    whole = Metadata(RGB_PROFILE, exif, fits)
    assert kept(whole, 3, "x") == whole
    assert kept(Metadata(RGB_PROFILE, exif, fits + b" "), 3, "x") == Metadata(RGB_PROFILE, exif)
    assert caplog.messages == ["the XMP of x is too large, it is left out"]


def through_profile(icc: bytes, colour: tuple[int, ...]) -> tuple[int, ...]:
    """A colour of the profile as sRGB."""
    mode = {1: "L", 3: "RGB"}[len(colour)]
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    image = Image.new(mode, (1, 1), colour[0] if mode == "L" else colour)
    found = ImageCms.applyTransform(image, transform)
    assert found is not None
    return found.getpixel((0, 0))


def test_profile_of_srgb_primaries_changes_nothing() -> None:
    icc = make_profile(None, SRGB_CHROMATICITIES, 3)
    for colour in ((255, 255, 255), (200, 30, 90), (0, 0, 0), (1, 128, 254)):
        assert through_profile(icc, colour) == colour


@pytest.mark.parametrize("channels", [1, 3])
def test_profile_of_a_gamma_means_that_gamma(channels: int) -> None:
    icc = make_profile(1.0, None, channels)
    assert profile_fault(icc, channels) is None
    # Half of the light, as sRGB shows it.
    assert through_profile(icc, (128,) * channels) == pytest.approx((188,) * 3, abs=1)


@pytest.mark.parametrize(
    ("gamma", "chromaticities"),
    [
        (0.0, None),
        (1e4, None),
        (None, (0.0,) * 8),
        (None, (0.3, 0.3, 0.1, 0.1, 0.2, 0.2, 0.4, 0.4)),
        (None, (0.9, 0.1, *SRGB_CHROMATICITIES[2:])),
        (None, (4e4,) * 8),
    ],
)
def test_impossible_colours_are_refused(
    gamma: float | None, chromaticities: tuple[float, ...] | None
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        make_profile(gamma, chromaticities, 3)


def chromaticity_chunk(values: tuple[float, ...]) -> bytes:
    return png_chunk(b"cHRM", struct.pack(">8I", *(round(v * 100_000) for v in values)))


WIDE = (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)


@pytest.mark.parametrize(
    ("chunks", "gets_a_profile"),
    [
        (png_chunk(b"gAMA", struct.pack(">I", 45455)), False),
        (png_chunk(b"gAMA", struct.pack(">I", 100_000)), True),
        (chromaticity_chunk(SRGB_CHROMATICITIES), False),
        (chromaticity_chunk(WIDE), True),
        (chromaticity_chunk(WIDE) + png_chunk(b"sRGB", b"\0"), False),
        (chromaticity_chunk(WIDE) + png_chunk(b"cICP", b"\1\x0d\0\1"), False),
        (chromaticity_chunk((0.0,) * 8), False),
    ],
)
def test_gamma_and_primaries_become_a_profile(
    chunks: bytes, gets_a_profile: bool, caplog: pytest.LogCaptureFixture
) -> None:
    data = png_file(1, 1, rows=PIXEL, chunks=chunks)
    picture = read_picture(data, "a.png")
    assert picture.samples.tolist() == [[[1, 2, 3]]]
    assert bool(picture.metadata.icc) == gets_a_profile
    line = "a.png gives its gamma or primaries, a colour profile is made of them"
    assert (line in caplog.messages) == gets_a_profile
    if b"cICP" not in chunks:
        opened = load_picture(Image.open(io.BytesIO(data)))
        assert opened.metadata == picture.metadata


def test_profile_goes_before_gamma() -> None:
    chunks = png_chunk(b"gAMA", struct.pack(">I", 100_000))
    chunks += png_chunk(*png_chunks.profile_chunk(RGB_PROFILE))
    assert read_picture(png_file(1, 1, rows=PIXEL, chunks=chunks), "x").metadata.icc == RGB_PROFILE


@pytest.mark.parametrize("code", [(1, 13, 0, 1), (12, 13, 0, 1), (9, 1, 0, 1), (9, 14, 0, 1)])
def test_colour_code_becomes_a_profile_where_there_is_no_place_for_it(
    code: tuple[int, int, int, int],
) -> None:
    picture = Picture(random_samples(2, 3, 3), 8, Metadata(cicp=code))
    found = read_picture(encode_picture(picture, "TIFF"), "x").metadata
    assert found == Metadata(profile_of_code(code, 3))
    assert through_profile(found.icc, (255, 255, 255)) == (255, 255, 255)
    assert to_image(picture.samples, 8, picture.metadata).info["icc_profile"] == found.icc


def test_colour_code_that_no_profile_can_say_is_told(caplog: pytest.LogCaptureFixture) -> None:
    picture = Picture(random_samples(2, 3, 3), 8, Metadata(cicp=(9, 16, 0, 1)))
    assert read_picture(encode_picture(picture, "TIFF"), "x").metadata == Metadata()
    assert caplog.messages == ["TIFF has no place for the colour code, use .png to keep it"]


def test_metadata_that_has_no_place_is_told(caplog: pytest.LogCaptureFixture) -> None:
    metadata = Metadata(RGB_PROFILE, exif_block(1), XMP)
    encode_picture(Picture(random_samples(2, 3, 3), 8, metadata), "BMP")
    assert caplog.messages == [
        "BMP has no place for the colour profile and EXIF and XMP, use .png to keep it"
    ]


@pytest.mark.parametrize("kind", ["exif", "xmp"])
def test_metadata_that_is_too_long_for_jpeg_is_told(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    block = exif_block(1) + bytes(70_000) if kind == "exif" else b"<x" + b" " * 70_000
    picture = Picture(random_samples(2, 3, 3), 8, Metadata(RGB_PROFILE, **{kind: block}))
    data = encode_picture(picture, "JPEG")
    assert read_picture(data, "x").metadata == Metadata(RGB_PROFILE)
    assert caplog.messages == [f"JPEG has no place for the {kind.upper()}, use .png to keep it"]


@pytest.mark.parametrize(("kind", "longest"), [("exif", 65527), ("xmp", 65504)])
def test_the_longest_metadata_of_jpeg_fits(kind: str, longest: int) -> None:
    start = exif_block(1) if kind == "exif" else b"<x"
    block = start.ljust(longest, b" ")
    picture = Picture(random_samples(2, 3, 3), 8, Metadata(**{kind: block}))
    assert getattr(read_picture(encode_picture(picture, "JPEG"), "x").metadata, kind) == block


@needs_deep
def test_colour_code_of_avif() -> None:
    import imagecodecs

    samples = random_samples(8, 8, 3, 10)
    data = imagecodecs.avif_encode(
        samples, level=90, bitspersample=10, primaries=9, transfer=16, matrix=9
    )
    assert read_picture(data, "x").metadata.cicp == (9, 16, 0, 1)


def test_pillow_image_of_a_picture_carries_its_metadata() -> None:
    metadata = Metadata(RGB_PROFILE, exif_block(1), XMP)
    image = to_image(random_samples(2, 3, 3), 8, metadata)
    assert image.info["icc_profile"] == RGB_PROFILE
    assert load_picture(image).metadata == metadata
    assert read_picture(file_of(image, exif=image.info["exif"]), "x").metadata.icc == RGB_PROFILE


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_of_tiff_has_all_values_and_no_layout(order: str) -> None:
    exif = exif_block(1, order=order)
    picture = Picture(random_samples(5, 7, 3), 8, Metadata(exif=exif))
    found = read_picture(encode_picture(picture, "TIFF"), "x").metadata.exif
    assert found[:2] == exif[:2]
    assert set(read_directory(found).entries) == set(read_directory(exif).entries)
    again = Picture(picture.samples, 8, Metadata(exif=found))
    assert read_picture(encode_picture(again, "TIFF"), "x").metadata.exif == found


def test_exif_of_tiff_that_pillow_wrote() -> None:
    image = to_image(random_samples(5, 7, 3))
    assert read_picture(file_of(image, "TIFF"), "x").metadata == Metadata()
    found = read_picture(file_of(image, "TIFF", exif=exif_block(1)), "x").metadata
    assert exif_values(found.exif) == exif_values(exif_block(1))


def test_exif_of_tiff_that_would_be_huge_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """Many entries may name the same values, and so take more than the file has."""
    shared = bytes(1 << 20)
    tags = {tag: (7, len(shared)) for tag in range(40_000, 40_100)}
    data = tiff_file(1, 1, shared, far=tags)
    picture = read_picture(data, "a.tif")
    assert picture.samples.tolist() == [[[0]]]
    assert picture.metadata == Metadata()
    assert caplog.messages == ["the EXIF of a.tif is left out: it is too large"]


def test_exif_directory_that_names_itself_ends() -> None:
    exif = bytearray(exif_block(1))
    place = exif.index(struct.pack("<HHI", 34665, 4, 1)) + 8
    exif[place : place + 4] = struct.pack("<I", 8)
    picture = Picture(random_samples(5, 7, 3), 8, Metadata(exif=bytes(exif)))
    found = read_picture(encode_picture(picture, "TIFF"), "x").metadata.exif
    assert 0 < len(found) < 10_000
