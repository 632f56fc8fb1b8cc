"""The rate-distortion benchmark: points are kept and reused, tables hold the right numbers."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from math import log10
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from fits import plain
from picture_files import load_samples
from PIL import Image
from places import ROOT

import givre
from givre.coder.fitting.choices import FitChoices
from givre.coder.fitting.settings import FitSettings

sys.path.insert(0, str(ROOT / "benchmarks"))

import rd
from anchors import (
    DATASETS,
    DEFAULT_ANCHORS,
    FOLDER,
    Anchor,
    anchor_keys,
    load_anchors,
    read_anchor,
)
from bd_rate import Curve, mean_mse_curve, mean_psnr_curve
from rd_points import Point, find_points, fingerprint, pending, point_path, read_point, write_point
from rd_report import compare, known_points

LMBDAS = (0.001, 0.0001)
STEPS = 30


def picture() -> Image.Image:
    y, x = np.mgrid[0:16, 0:16]
    rng = np.random.default_rng(0)
    smooth = np.stack([12 * x + 4 * y, 10 * y + 60, 200 - 9 * x], axis=2)
    return Image.fromarray((smooth + rng.integers(0, 20, smooth.shape)).astype(np.uint8))


def arguments(folder: Path, image: Path, *more: str) -> list[str]:
    lmbdas = [str(lmbda) for lmbda in LMBDAS]
    fixed = ["--steps", str(STEPS), "--complexity", "lop", "--processes", "1", "--name", "a.b"]
    return [str(image), "--lambdas", *lmbdas, *fixed, "--out", str(folder), *more]


def point(seq_name: str, lmbda: float, size: int, mse: float, n_pixels: int = 768 * 512) -> Point:
    return Point(
        fingerprint="0",
        settings=FitSettings(lmbda=lmbda, threads=1),
        seq_name=seq_name,
        n_pixels=n_pixels,
        mse=mse,
        bytes=size,
        header_bytes=10,
        parameter_bytes=20,
        latent_bytes=size - 30,
        mac_per_pixel=2000.0,
        fit_seconds=1.0,
        fit_cpu_seconds=1.0,
        encode_seconds=1.0,
        encode_cpu_seconds=1.0,
        decode_seconds=1.0,
        decode_cpu_seconds=1.0,
        processor="none",
    )


def anchor_of(points: Sequence[Point], rate_factor: float, per_image: bool) -> Anchor:
    """An anchor with the PSNR of these points, at this many times their rates."""
    curves: dict[str, Curve] = {}
    for p in points:
        before = curves.get(p.seq_name, Curve((), ()))
        curves[p.seq_name] = Curve(
            (*before.bpp, rate_factor * p.rate_bpp), (*before.psnr_db, p.psnr_db)
        )
    each = list(curves.values())
    return Anchor(
        "made",
        "made",
        "this test",
        "kodak",
        mean_psnr_curve(each),
        mean_mse_curve(each),
        curves if per_image else {},
    )


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image, what the benchmark made of it, and what it printed."""
    folder = tmp_path_factory.mktemp("rd")
    image = folder / "small.png"
    picture().save(image)
    with (folder / "printed.txt").open("w") as stream, redirect_stdout(stream):
        assert rd.main(arguments(folder / "out", image)) == 0
    return folder


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return copytree(finished_run, tmp_path / "run")


@pytest.mark.slow
def test_points_are_made_kept_and_reported(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, out = run / "small.png", run / "out"
    kept = {lmbda: point_path(out / "a.b", "small", lmbda) for lmbda in LMBDAS}
    fits = [path.with_suffix(".fit") for path in kept.values()]
    assert sorted((out / "a.b").iterdir()) == sorted([*kept.values(), *fits])
    assert "No BD-rates" in (run / "printed.txt").read_text()

    original = np.asarray(picture(), np.float64)
    lines = (out / "a.b.tsv").read_text().splitlines()
    columns = lines[0].split("\t")
    assert columns[:5] == ["seq_name", "lmbda", "n_pixels", "psnr_db", "rate_bpp"]
    content = json.loads((out / "a.b.json").read_text())
    for i, lmbda in enumerate(LMBDAS):
        data = givre.encode(image, lmbda=lmbda, steps=STEPS, complexity="lop", threads=1)
        decoded = np.asarray(givre.decode(data), np.float64)
        psnr = 10 * log10(255**2 / np.mean((original - decoded) ** 2))
        info = givre.info(data)
        found = read_point(kept[lmbda])
        sections = found.header_bytes, found.parameter_bytes, found.latent_bytes
        assert found.bytes == len(data) == sum(sections)
        assert sections == tuple(info[f"{p}_bytes"] for p in ("header", "parameter", "latent"))
        assert found.mac_per_pixel == info["mac_per_pixel"]
        assert found.psnr_db == pytest.approx(psnr, abs=1e-9)
        row = dict(zip(columns, lines[1 + i].split("\t"), strict=True))
        assert (row["seq_name"], row["lmbda"], row["n_pixels"]) == ("small", str(lmbda), "256")
        assert (row["bytes"], row["steps"], row["complexity"]) == (str(len(data)), "30", "lop")
        assert float(row["psnr_db"]) == pytest.approx(psnr, abs=1e-4)
        assert float(row["rate_bpp"]) == pytest.approx(len(data) / 32, abs=1e-6)
        assert content["results"]["bpp"][i] == len(data) / 32
        assert content["results"]["psnr"][i] == pytest.approx(psnr, abs=1e-9)

    def fit_nothing(*_: object) -> int:
        raise AssertionError("every point is there")

    monkeypatch.setattr(rd, "do_all", fit_nothing)
    written = {path: path.stat().st_mtime_ns for path in kept.values()}
    (out / "a.b.tsv").unlink()
    assert rd.main(arguments(out, image)) == 0
    assert (out / "a.b.tsv").read_text().splitlines() == lines
    (out / "a.b.tsv").unlink()
    assert rd.main(["--report-only", "--name", "a.b", "--out", str(out)]) == 0
    assert (out / "a.b.tsv").read_text().splitlines() == lines
    assert {path: path.stat().st_mtime_ns for path in kept.values()} == written
    pytest.importorskip("matplotlib")
    with Image.open(out / "a.b.png") as plot:
        assert plot.format == "PNG"


@pytest.mark.slow
def test_kept_fits_are_written_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, out = run / "small.png", run / "out"
    kept = {lmbda: point_path(out / "a.b", "small", lmbda) for lmbda in LMBDAS}
    made = {lmbda: read_point(path) for lmbda, path in kept.items()}
    first = kept[LMBDAS[0]]
    first.write_text(first.read_text().replace('"bytes": ', '"bytes": 9'))
    assert read_point(first).bytes > made[LMBDAS[0]].bytes

    def fit_nothing(*_: object) -> int:
        raise AssertionError("every fit is there")

    monkeypatch.setattr(rd, "measure", fit_nothing)
    assert rd.main([*arguments(out, image), "--rewrite"]) == 0
    for lmbda, point in made.items():
        again = read_point(kept[lmbda])
        assert (again.bytes, again.mse) == (point.bytes, point.mse)
        assert again.fit_cpu_seconds == point.fit_cpu_seconds


def test_other_images_settings_and_damaged_points_are_done_again(tmp_path: Path) -> None:
    image = tmp_path / "small.png"
    picture().save(image)
    choices = FitChoices(steps=STEPS, complexity="lop", threads=1)
    jobs = rd.plan([image], [*LMBDAS, LMBDAS[0]], choices, tmp_path)
    assert [job.settings.lmbda for job in jobs] == list(LMBDAS)
    assert pending(jobs) == jobs
    digest = plain(load_samples(image)).digest
    for job in jobs:
        kept = point("small", job.settings.lmbda, 100, 1e-3, n_pixels=256)
        prints = fingerprint(digest, job.settings)
        write_point(replace(kept, fingerprint=prints, settings=job.settings), job.kept_in)
    assert pending(jobs) == []
    longer = rd.plan([image], LMBDAS, replace(choices, steps=STEPS + 1), tmp_path)
    assert pending(longer) == longer
    text = jobs[1].kept_in.read_text()
    jobs[1].kept_in.write_text(text[: len(text) // 2])
    assert pending(jobs) == jobs[1:]
    with pytest.raises(ValueError, match="not a point of this benchmark"):
        find_points(tmp_path)
    picture().transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(image)
    assert pending(jobs) == jobs


def test_bd_rates_cover_the_images_that_both_know() -> None:
    known = [
        point(name, lmbda, size, mse)
        for name, scale in (("kodim01", 1), ("kodim02", 3))
        for lmbda, size, mse in ((0.02, 4000 * scale, 2e-3), (0.001, 20000, 3e-4 / scale))
    ]
    strangers = [
        point("kodim03", 0.02, 100, 1e-3),  # not among the anchor's images
        point("kodim02b", 0.02, 100, 1e-3),
    ]
    found = compare([*known, *strangers], anchor_of(known, 1 / 1.1, per_image=True))
    assert found is not None
    assert (found.images, found.without_overlap) == (2, 0)
    for value in (found.per_image, found.mean_psnr, found.mean_mse):
        assert value == pytest.approx(10, abs=1e-9)
    assert compare(strangers, anchor_of(known, 1.0, per_image=True)) is None
    crops = [replace(p, n_pixels=256 * 256) for p in known]
    assert compare(crops, anchor_of(known, 1.0, per_image=True)) is None


def test_an_anchor_known_on_average_needs_all_images() -> None:
    points = [
        point(name, lmbda, size, mse)
        for i, name in enumerate(DATASETS["kodak"].images)
        for lmbda, size, mse in ((0.02, 4000 + 100 * i, 2e-3), (0.001, 20000, 3e-4 / (1 + i)))
    ]
    anchor = anchor_of(points, 2.0, per_image=False)
    assert known_points(points[:-2], anchor) == []
    found = compare(points, anchor)
    assert found is not None
    assert found.images == 24
    assert found.mean_psnr == pytest.approx(-50, abs=1e-9)
    assert found.mean_mse == pytest.approx(-50, abs=1e-9)
    assert np.isnan(found.per_image)


def test_points_of_several_settings_are_not_averaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = [point("a", 0.02, 100, 1e-3), point("a", 0.001, 200, 1e-4)]
    mixed[1] = replace(mixed[1], settings=replace(mixed[1].settings, steps=7))
    folder = tmp_path / "mixed"
    folder.mkdir()
    for p in mixed:
        write_point(p, point_path(folder, p.seq_name, p.lmbda))
    with pytest.raises(SystemExit) as stopped:
        rd.main(["--report-only", "--name", "mixed", "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert "several settings" in capsys.readouterr().err


def test_images_of_one_name_are_refused(tmp_path: Path) -> None:
    images = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]
    with pytest.raises(ValueError, match="2 images named x"):
        rd.plan(images, LMBDAS, FitChoices(), tmp_path)


def test_every_anchor_is_valid_and_its_averages_are_those_of_its_images() -> None:
    anchors = load_anchors(["all"])
    assert len(anchors) == len(anchor_keys()) > len(DEFAULT_ANCHORS)
    assert [anchor.key for anchor in load_anchors(DEFAULT_ANCHORS)] == list(DEFAULT_ANCHORS)
    for anchor in anchors:
        if not anchor.per_image:
            continue
        curves = list(anchor.per_image.values())
        assert anchor.mean_mse is not None
        # The published averages are rounded, some to a thousandth of a dB.
        assert mean_psnr_curve(curves).bpp == pytest.approx(anchor.mean_psnr.bpp, abs=1e-5)
        assert mean_psnr_curve(curves).psnr_db == pytest.approx(anchor.mean_psnr.psnr_db, abs=6e-4)
        assert mean_mse_curve(curves).psnr_db == pytest.approx(anchor.mean_mse.psnr_db, abs=6e-4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"dataset": "kodak"', '"dataset": "other"', "dataset"),
        ('"licence"', '"license"', "must hold"),
        ('"bpp": 0.08386', '"bpp": -0.08386', "above 0"),
        ('"bpp": 0.08386', '"bpp": "0.08386"', "must be a number"),
        ('{"lmbda": 0.02,', "{", "either lmbda or setting"),
        ('{"lmbda": 0.02,', '{"lmbda": 0.004,', "another setting"),
        ('"kodim01"', '"kodim25"', "has no kodim25"),
        ('{"setting": "0.02"', '{"setting": "0.03"', "settings of kodim01"),
        ("}", "", "not a valid anchor"),
    ],
)
def test_invalid_anchors_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (FOLDER / "coolchic-5.0.json").read_text()
    assert old in text
    path = tmp_path / "made.json"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        read_anchor(path)


def test_an_unknown_anchor_is_refused() -> None:
    with pytest.raises(ValueError, match="no anchor 'nothing'"):
        load_anchors(["nothing"])
