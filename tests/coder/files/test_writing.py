"""A format holds a picture as it is, or is refused with one that does."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from picture_files import random_samples
from PIL import Image

from givre.coder.files.image_names import image_format
from givre.coder.files.picture import Picture
from givre.coder.files.pillow_output import to_image
from givre.coder.files.reading import read_picture
from givre.coder.files.writing import encode_picture
from givre.errors import ImageError, OutputError

LOSSLESS = {
    **dict.fromkeys(("PNG", "TIFF", "WEBP", "JPEG2000", "TGA", "QOI", "DDS"), (1, 2, 3, 4)),
    **dict.fromkeys(("PPM", "BMP", "DIB", "PCX"), (1, 3)),
    "SGI": (1, 3, 4),
    "GIF": (1,),
}
"""The numbers of channels that a format keeps without loss."""


def smooth_samples(channels: int) -> np.ndarray:
    """A picture without noise, as a camera gives it."""
    y, x = np.mgrid[0:40, 0:48]
    planes = [127 + 100 * np.sin(x / (5 + i)) * np.cos(y / (7 - i)) for i in range(channels)]
    return np.stack(planes, axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "channels"), [(kind, channels) for kind in LOSSLESS for channels in LOSSLESS[kind]]
)
def test_picture_comes_back(kind: str, channels: int) -> None:
    picture = Picture(random_samples(9, 11, channels))
    picture.samples[0, 0, -1] = 0  # some writers clear the colour of what cannot be seen
    found = to_image(read_picture(encode_picture(picture, kind), "x").samples.astype(np.uint8))
    expected = to_image(picture.samples)
    assert found.size == expected.size
    np.testing.assert_array_equal(
        np.asarray(found.convert("RGBA")), np.asarray(expected.convert("RGBA"))
    )


@pytest.mark.parametrize(
    ("kind", "channels"),
    [(kind, channels) for kind in LOSSLESS for channels in {1, 2, 3, 4} - set(LOSSLESS[kind])],
)
def test_channels_that_a_format_has_not_are_refused(kind: str, channels: int) -> None:
    with pytest.raises(OutputError, match=r"use \.png, \.tif or \.webp$"):
        encode_picture(Picture(random_samples(9, 11, channels)), kind)


@pytest.mark.parametrize("kind", [*LOSSLESS, "JPEG", "AVIF"])
def test_plain_picture_that_takes_few_bytes_comes_back(kind: str) -> None:
    samples = np.full((1000, 1500, 1), 40, np.uint8)
    found = read_picture(encode_picture(Picture(samples), kind), "x").samples
    assert found.shape[:2] == (1000, 1500)
    assert np.abs(found.astype(int) - 40).max() <= 1


@pytest.mark.parametrize(
    ("kind", "channels", "lost"),
    [
        ("JPEG", 2, "alpha of grey with alpha"),
        ("JPEG", 4, "alpha of RGB with alpha"),
        ("PPM", 4, "alpha of RGB with alpha"),
        ("PPM", 2, "alpha of grey with alpha"),
        ("BMP", 4, "alpha of RGB with alpha"),
        ("GIF", 3, "colours of RGB"),
        ("GIF", 4, "alpha of RGB with alpha"),
    ],
)
def test_what_a_format_would_lose_is_said(kind: str, channels: int, lost: str) -> None:
    message = rf"^{kind} cannot hold the {lost}, use \.png, \.tif or \.webp$"
    with pytest.raises(OutputError, match=message):
        encode_picture(Picture(random_samples(3, 3, channels)), kind)


@pytest.mark.parametrize("name", ["a.ico", "a.icns", "a.pdf", "a.eps"])
def test_format_that_changes_pictures_is_refused_by_its_suffix(name: str) -> None:
    with pytest.raises(OutputError, match=rf"^{name}: .* change the picture's .*, use \.png$"):
        image_format(Path(name))
    with pytest.raises(OutputError, match=r"use \.png"):
        encode_picture(Picture(random_samples(3, 3, 3)), Image.registered_extensions()[name[1:]])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_lossy_formats_add_nothing_that_can_be_seen(kind: str, channels: int) -> None:
    samples = smooth_samples(channels)
    data = encode_picture(Picture(samples), kind)
    with Image.open(io.BytesIO(data)) as image:
        if kind == "JPEG":
            assert {(layer[1], layer[2]) for layer in image.layer} == {(1, 1)}
        found = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    error = found.reshape(samples.shape).astype(float) - samples
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 44


def test_lossy_colour_has_its_full_resolution() -> None:
    """Single red and blue pixels side by side mix if colour is stored at half of it."""
    samples = np.zeros((32, 32, 3), np.uint8)
    samples[:, ::2, 0] = samples[:, 1::2, 2] = 200
    for kind in ("JPEG", "AVIF"):
        found = read_picture(encode_picture(Picture(samples), kind), "x").samples.astype(int)
        assert np.abs(found - samples).max() < 25


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError()])
def test_errors_of_the_surroundings_stay_what_they_are(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    Image.init()
    monkeypatch.setitem(Image.SAVE, "TGA", fail)
    with pytest.raises(type(error)) as caught:
        encode_picture(Picture(random_samples(2, 2, 3)), "TGA")
    assert caught.value is error


def test_size_that_a_format_has_not_is_refused() -> None:
    picture = Picture(np.zeros((1, 70_000, 3), np.uint8))
    with pytest.raises(OutputError, match=r"cannot write 70000x1 as JPEG, use \.png: "):
        encode_picture(picture, "JPEG")


@pytest.mark.parametrize(
    ("samples", "bit_depth", "message"),
    [
        (np.zeros((2, 2), np.uint8), 8, "shape"),
        (np.zeros((2, 2, 5), np.uint8), 8, "shape"),
        (np.zeros((0, 2, 3), np.uint8), 8, "shape"),
        (np.zeros((2, 2, 3), np.uint16), 8, "uint16, which are not 8 bits"),
        (np.zeros((2, 2, 1), np.uint8), 12, "uint8, which are not 12 bits"),
    ],
)
def test_samples_of_another_kind_are_no_image(
    samples: np.ndarray, bit_depth: int, message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        to_image(samples, bit_depth)
