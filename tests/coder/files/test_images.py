from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from picture_files import file_of, load_samples, png_file, random_samples, read_samples
from PIL import Image

from givre.coder.files import atomic as atomic_files
from givre.coder.files.atomic import atomic_write_bytes, check_output
from givre.coder.files.bounded import read_file, read_stream
from givre.coder.files.image_names import image_format
from givre.coder.files.picture import Picture
from givre.coder.files.pillow_output import to_image
from givre.coder.files.writing import encode_picture
from givre.errors import ImageError, OutputError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_modes_that_the_codec_takes_come_back_unchanged(channels: int) -> None:
    samples = random_samples(5, 7, channels)
    image = to_image(samples)
    assert image.mode == ["L", "LA", "RGB", "RGBA"][channels - 1]
    assert image.size == (7, 5)
    np.testing.assert_array_equal(load_samples(image), samples)
    np.testing.assert_array_equal(read_samples(file_of(image), "x"), samples)


def test_array_samples_are_an_own_writable_copy() -> None:
    array = random_samples(4, 6, 3)[:, ::2]
    array.flags.writeable = False
    samples = load_samples(array)
    np.testing.assert_array_equal(samples, array)
    assert samples.flags.writeable
    assert samples.flags.c_contiguous
    assert not np.shares_memory(samples, array)


def test_two_dimensional_array_is_grey() -> None:
    array = random_samples(4, 6, 1)[:, :, 0]
    np.testing.assert_array_equal(load_samples(array), array[:, :, None])


def test_one_bit_becomes_grey() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert read_samples(file_of(image), "x").tolist() == [[[0], [255]]]


def palette_image() -> Image.Image:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    return image


def test_palette_becomes_rgb() -> None:
    assert read_samples(file_of(palette_image()), "x").tolist() == [[list(RED), list(BLUE)]]


def test_palette_with_transparency_becomes_rgba() -> None:
    data = file_of(palette_image(), transparency=1)
    assert read_samples(data, "x").tolist() == [[[*RED, 255], [*BLUE, 0]]]


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [("L", 7, [7, 0]), ("RGB", (7, 8, 9), [7, 8, 9, 0])],
)
def test_one_transparent_colour_becomes_alpha(
    mode: str, colour: int | tuple[int, ...], expected: list[int]
) -> None:
    data = file_of(Image.new(mode, (1, 1), colour), transparency=colour)
    assert read_samples(data, "x").tolist() == [[expected]]


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("CMYK", (0, 255, 255, 0), list(RED)),
        ("YCbCr", (255, 128, 128), [255, 255, 255]),
        ("HSV", (0, 255, 255), list(RED)),
        ("RGBX", (1, 2, 3, 4), [1, 2, 3]),
        ("PA", (0, 9), [0, 0, 0, 9]),
        ("RGBa", (50, 0, 0, 100), [127, 0, 0, 100]),
        ("La", (50, 100), [127, 100]),
    ],
)
def test_other_colour_modes_are_converted(
    mode: str, colour: tuple[int, ...], expected: list[int]
) -> None:
    found = load_samples(Image.new(mode, (1, 1), colour))
    assert found.tolist() == [[expected]]


@pytest.mark.parametrize(("lightness", "expected"), [(255, 255), (0, 0)])
def test_lab_is_converted(lightness: int, expected: int) -> None:
    found = load_samples(Image.new("LAB", (1, 1), (lightness, 128, 128))).astype(int)
    assert found.shape == (1, 1, 3)
    assert np.abs(found - expected).max() <= 1  # colour management rounds through XYZ


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [[RED, GREEN, BLUE]]),
        (3, [[BLUE, GREEN, RED]]),
        (6, [[RED], [GREEN], [BLUE]]),
        (8, [[BLUE], [GREEN], [RED]]),
    ],
)
def test_exif_orientation_is_applied(
    orientation: int, expected: list[list[tuple[int, int, int]]]
) -> None:
    image = Image.new("RGB", (3, 1))
    for x, colour in enumerate((RED, GREEN, BLUE)):
        image.putpixel((x, 0), colour)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read_samples(file_of(image, exif=exif), "x")
    np.testing.assert_array_equal(found, np.array(expected, np.uint8))


def test_first_frame_of_an_animation_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    frames = [Image.new("L", (2, 2), 10), Image.new("L", (2, 2), 200)]
    data = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_samples(data, "film.gif")[0, 0, 0] == 10
    assert caplog.messages == ["film.gif has several frames, the first one is taken"]


PHOTOGRAPH = to_image(random_samples(40, 50, 3))
BROKEN_FILES = {
    "empty": (b"", "is empty"),
    "text": (b"hello", "not an image of a known format"),
    "start of a PNG": (file_of(PHOTOGRAPH)[:20], "cannot read"),
    "cut PNG": (file_of(PHOTOGRAPH)[:3000], "truncated"),
    "cut JPEG": (file_of(PHOTOGRAPH, "JPEG")[:1500], "truncated"),
    "bomb": (png_file(100_000, 100_000), "has more than 268435456 pixels"),
    "half a bomb": (png_file(10_000, 10_000), "truncated, 65 bytes cannot hold 10000x10000"),
    "no rows": (png_file(1000, 1000), "truncated"),
}


@pytest.mark.parametrize(("data", "message"), BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_broken_files_are_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        read_samples(data, "broken.png")
    assert str(caught.value).startswith(("broken.png", "cannot read broken.png"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("position", range(0, 300, 7))
def test_damaged_file_is_an_image_or_an_image_error(position: int) -> None:
    data = bytearray(file_of(Image.new("P", (9, 9)), "GIF") + file_of(PHOTOGRAPH, "TIFF")[:400])
    data[position] ^= 0xFF
    try:
        samples = read_samples(bytes(data), "x")
    except ImageError:
        return
    assert samples.dtype == np.uint8
    assert samples.ndim == 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((2, 2), np.float32), "float32, it must hold uint8 or uint16"),
        (np.zeros((2, 2, 5), np.uint8), "it must be"),
        (np.zeros((2, 2, 0), np.uint8), "it must be"),
        (np.zeros(4, np.uint8), "it must be"),
        (np.zeros((0, 2, 3), np.uint8), "at least one pixel"),
        (Image.new("RGB", (0, 3)), "at least 1x1"),
        (Path("missing.png"), "cannot read 'missing.png': No such file"),
        ("a\0b.png", "cannot read"),
        (object(), "not object"),
    ],
)
def test_other_sources_are_refused(source: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        load_samples(source)  # type: ignore[arg-type]


def test_folder_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot read"):
        load_samples(tmp_path)


def test_input_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(10))
    assert read_file(path, limit=10) == bytes(10)
    with pytest.raises(ImageError, match="larger than 9 bytes"):
        read_file(path, limit=9)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero")
def test_endless_input_ends() -> None:
    with open("/dev/zero", "rb") as stream, pytest.raises(ImageError, match="larger than 1000"):
        read_stream(stream, "zeros", limit=1000)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.png", "PNG"), ("a", "PNG"), ("a.JPG", "JPEG"), ("a.webp", "WEBP"), ("a.ppm", "PPM")],
)
def test_suffix_names_the_format(name: str, expected: str) -> None:
    assert image_format(Path(name)) == expected


@pytest.mark.parametrize("name", ["a.xyz", "a.givre", "a.psd"])
def test_suffix_without_a_writer_is_refused(name: str) -> None:
    with pytest.raises(OutputError, match=r"unknown suffix, use one as \.png, \.jpg"):
        image_format(Path(name))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_saved_image_reads_back(tmp_path: Path, channels: int, suffix: str) -> None:
    samples = random_samples(9, 11, channels)
    samples[..., -1] |= 1  # a pixel of alpha 0 has no colour in WebP
    path = tmp_path / f"image{suffix}"
    content = encode_picture(Picture(samples), image_format(path))
    atomic_write_bytes(path, content, force=False)
    # WebP has no grey.
    expected = to_image(samples).convert("RGBA")
    found = to_image(load_samples(path)).convert("RGBA")
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_alpha_is_not_dropped_silently() -> None:
    with pytest.raises(
        OutputError, match=r"JPEG cannot hold the alpha of RGB with alpha, use \.png"
    ):
        encode_picture(Picture(random_samples(2, 2, 4)), "JPEG")


def test_written_file_has_the_content_and_the_usual_permissions(tmp_path: Path) -> None:
    path, usual = tmp_path / "new", tmp_path / "usual"
    atomic_write_bytes(path, b"content", force=False)
    usual.write_bytes(b"")
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
    assert sorted(tmp_path.iterdir()) == [path, usual]


def test_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    for refuse in (check_output, lambda p, force: atomic_write_bytes(p, b"new", force)):
        with pytest.raises(OutputError, match="exists already"):
            refuse(path, False)
    assert path.read_bytes() == b"old"
    check_output(path, True)
    atomic_write_bytes(path, b"new", force=True)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("hard_links", [True, False])
def test_file_that_appears_at_the_last_moment_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    path = tmp_path / "x"

    def somebody_writes(*_: object) -> None:
        path.write_bytes(b"theirs")

    monkeypatch.setattr(atomic_files.os, "fsync", somebody_writes)
    if not hard_links:
        monkeypatch.setattr(atomic_files.os, "link", refuse_link)
    with pytest.raises(OutputError, match="exists already"):
        atomic_write_bytes(path, b"ours", force=False)
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def refuse_link(*_: object) -> None:
    raise PermissionError("no hard links here")


def test_write_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_files.os, "link", refuse_link)
    atomic_write_bytes(tmp_path / "x", b"content", force=False)
    assert (tmp_path / "x").read_bytes() == b"content"
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("existing", [b"old", None])
def test_nothing_is_half_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    existing: bytes | None,
) -> None:
    path = tmp_path / "x"
    if existing is not None:
        path.write_bytes(existing)

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(atomic_files.os, "fsync", fail)
    expected = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        atomic_write_bytes(path, b"new", force=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == (
        {} if existing is None else {"x": existing}
    )


@pytest.mark.skipif(os.name != "posix", reason="folders cannot be opened elsewhere")
@pytest.mark.parametrize("folders_can_be_synchronised", [True, False])
def test_the_folder_is_synchronised_after_the_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders_can_be_synchronised: bool
) -> None:
    path, found = tmp_path / "x", []

    def record(file: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(file).st_mode)
        found.append((is_folder, path.exists()))
        if is_folder and not folders_can_be_synchronised:
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(atomic_files.os, "fsync", record)
    atomic_write_bytes(path, b"content", force=False)
    assert found == [(False, False), (True, True)]
    assert path.read_bytes() == b"content"


def test_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    atomic_write_bytes(link, b"new", force=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_output_in_a_missing_folder_or_on_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        check_output(tmp_path / "missing" / "x", force=True)
    with pytest.raises(OutputError, match="is a folder"):
        check_output(tmp_path, force=True)
    with pytest.raises(OutputError, match="cannot write"):
        check_output(tmp_path / ("x" * 5000), force=True)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_output_in_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="not writable"):
        check_output(tmp_path / "x", force=True)


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs /dev/null")
def test_device_is_written_without_force() -> None:
    check_output(Path("/dev/null"), force=False)
    atomic_write_bytes(Path("/dev/null"), b"content", force=False)
    assert not Path("/dev/null").is_file()
