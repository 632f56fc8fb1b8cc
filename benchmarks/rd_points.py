"""One rate-distortion point: an image fitted at one lambda, written, decoded and kept as JSON.

A folder of such files is what makes the benchmark resumable: the fingerprint in each says which
image and which settings it belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import numpy as np
import tables

import givre
from givre.coder.encoder import encode_fit
from givre.coder.files.atomic import atomic_write_bytes
from givre.coder.files.picture import AnySamples, Picture
from givre.coder.files.pillow_output import to_image
from givre.coder.files.reading import load_picture
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.source import source_of
from givre.coder.psnr import mean_squared_error, psnr_db
from givre.errors import GivreError

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Job:
    """What to measure: an image at one lambda, and the file that keeps the point."""

    image: Path
    settings: FitSettings
    kept_in: Path


@dataclass(frozen=True)
class Point:
    """What was measured.

    Attributes:
        fingerprint: of the image and the settings, `fingerprint`.
        settings: what was asked for.
        seq_name: file name of the image without its suffix.
        n_pixels: width times height.
        mse: mean squared error of the decoded file in 8-bit RGB, relative to the full range.
        bytes: size of the file, the sum of the following three.
        header_bytes: everything that is neither parameters nor latents.
        parameter_bytes: parameter section.
        latent_bytes: latent section.
        mac_per_pixel: multiplications a pixel to decode it.
        fit_seconds: wall time of the fit.
        fit_cpu_seconds: processor time of the fit.
        encode_seconds: wall time from the fit to the file: quantise, write, decode to check.
        encode_cpu_seconds: processor time of the same.
        decode_seconds: wall time from the file's bytes to pixels.
        decode_cpu_seconds: processor time of the same.
        processor: what all this ran on, one thread.
    """

    fingerprint: str
    settings: FitSettings
    seq_name: str
    n_pixels: int
    mse: float
    bytes: int
    header_bytes: int
    parameter_bytes: int
    latent_bytes: int
    mac_per_pixel: float
    fit_seconds: float
    fit_cpu_seconds: float
    encode_seconds: float
    encode_cpu_seconds: float
    decode_seconds: float
    decode_cpu_seconds: float
    processor: str

    @property
    def lmbda(self) -> float:
        """Weight of the rate."""
        return self.settings.lmbda

    @property
    def psnr_db(self) -> float:
        """PSNR in dB, infinite if nothing was lost."""
        return psnr_db(self.mse)

    @property
    def rate_bpp(self) -> float:
        """Bits a pixel of the whole file."""
        return 8 * self.bytes / self.n_pixels


def point_path(folder: Path, seq_name: str, lmbda: float) -> Path:
    """The file in a folder that keeps the point of an image at a lambda."""
    return folder / f"{seq_name}_{lmbda}.json"


def digest_of(samples: AnySamples) -> str:
    """The digest by which a fit knows its image, samples (H, W, C)."""
    return source_of(Picture(samples)).digest


def fingerprint(digest: str, settings: FitSettings) -> str:
    """SHA-256 of an image's digest (`Source.digest`) and of every setting, in hexadecimal."""
    content = {"image": digest, "settings": asdict(settings)}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def measure(job: Job) -> Point:
    """Fit, write, decode and keep one point; the file appears whole or not at all.

    An image with an alpha channel is coded with it; the PSNR is that of its colours.

    Raises:
        GivreError: the image cannot be read, the fit collapsed, or the point cannot be written.
    """
    samples, settings = load_picture(job.image).samples, job.settings
    fit, fit_seconds, fit_cpu_seconds = _timed(
        lambda: givre.overfit(
            samples,
            lmbda=settings.lmbda,
            steps=settings.steps,
            complexity=settings.complexity,
            seed=settings.seed,
            threads=settings.threads,
        )
    )
    # Nobody goes on with it, so the optimiser's state is not worth the space.
    replace(fit, state={}).save(fit_path(job))
    return _written(job, samples, fit, fit_seconds, fit_cpu_seconds)


def rewrite(job: Job) -> Point:
    """Write and decode the kept fit of a point again: what comes after a fit may have changed.

    Raises:
        GivreError: the image or the fit cannot be read, or the point cannot be written.
        ValueError: there is no point of this image and these settings.
    """
    samples, point, fit = (
        load_picture(job.image).samples,
        read_point(job.kept_in),
        Fit.load(fit_path(job)),
    )
    if point.fingerprint != fingerprint(digest_of(samples), job.settings):
        raise ValueError(f"{job.kept_in} is of another image or other settings, remove it")
    return _written(job, samples, fit, point.fit_seconds, point.fit_cpu_seconds)


def fit_path(job: Job) -> Path:
    """The file beside a point that keeps its fit, about 0.6 MB for a Kodak image."""
    return job.kept_in.with_suffix(".fit")


def _written(
    job: Job,
    samples: AnySamples,
    fit: Fit,
    fit_seconds: float,
    fit_cpu_seconds: float,
) -> Point:
    """The point of a fit, once its file is written, decoded and kept."""
    settings = job.settings
    encoded, encode_seconds, encode_cpu_seconds = _timed(lambda: encode_fit(fit, Picture(samples)))
    data = encoded.data
    decoded, decode_seconds, decode_cpu_seconds = _timed(
        lambda: givre.decode(data, threads=settings.threads)
    )
    info = givre.info(data)
    original = np.asarray(to_image(samples).convert("RGB"))
    point = Point(
        fingerprint=fingerprint(fit.digest, settings),
        settings=settings,
        seq_name=job.image.stem,
        n_pixels=decoded.width * decoded.height,
        mse=mean_squared_error(original, np.asarray(decoded.convert("RGB"))),
        bytes=len(data),
        header_bytes=int(str(info["header_bytes"])),
        parameter_bytes=int(str(info["parameter_bytes"])),
        latent_bytes=int(str(info["latent_bytes"])),
        mac_per_pixel=float(str(info["mac_per_pixel"])),
        fit_seconds=fit_seconds,
        fit_cpu_seconds=fit_cpu_seconds,
        encode_seconds=encode_seconds,
        encode_cpu_seconds=encode_cpu_seconds,
        decode_seconds=decode_seconds,
        decode_cpu_seconds=decode_cpu_seconds,
        processor=str(tables.machine()["processor"]),
    )
    write_point(point, job.kept_in)
    return point


def write_point(point: Point, path: Path) -> None:
    """Keep a point, in place of what is there. Raises OutputError if it cannot be written."""
    content = json.dumps(asdict(point), indent=1) + "\n"
    atomic_write_bytes(path, content.encode(), force=True)


def read_point(path: Path) -> Point:
    """Read what `write_point` wrote.

    Raises:
        ValueError: the file is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Point(**(content | {"settings": FitSettings(**content["settings"])}))
    except (OSError, KeyError, TypeError, ValueError, GivreError) as error:
        raise ValueError(f"{path} is not a point of this benchmark, remove it ({error})") from error


def find_points(folder: Path) -> list[Point]:
    """All points in a folder, by image and then rising rate. Raises ValueError as `read_point`."""
    points = [read_point(path) for path in folder.glob("*.json")]
    return sorted(points, key=lambda point: (point.seq_name, -point.lmbda))


def pending(jobs: Iterable[Job]) -> list[Job]:
    """The jobs of which no point is kept, or that of another image or other settings.

    Raises:
        ImageError: an image cannot be read.
    """
    digests: dict[Path, str] = {}
    waiting = []
    for job in jobs:
        if job.image not in digests:
            digests[job.image] = digest_of(load_picture(job.image).samples)
        if _kept_fingerprint(job.kept_in) != fingerprint(digests[job.image], job.settings):
            waiting.append(job)
    return waiting


def _kept_fingerprint(path: Path) -> str | None:
    try:
        return read_point(path).fingerprint
    except ValueError:
        return None


def _timed(work: Callable[[], _Result]) -> tuple[_Result, float, float]:
    """What some work returns, its wall time and its processor time in seconds."""
    wall, cpu = perf_counter(), process_time()
    result = work()
    return result, perf_counter() - wall, process_time() - cpu
