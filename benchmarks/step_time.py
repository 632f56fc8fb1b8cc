"""Time of a training step, plain torch against fused kernels, whole and part by part.

    python benchmarks/step_time.py [--sizes 256x256 768x512] [--points lop hop] [--rounds 5]

Both implementations run in the same process, in turn, and medians of the rounds are compared. As in
a fit, torch has all threads for itself in the one and a single thread beside the fused kernels.
Peak memory is that of a process of its own that does a few steps of one kind.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import tables
import torch
from processes import measure
from torch import Tensor

from givre.coder.execution import resolve_threads
from givre.coder.files.picture import Picture
from givre.coder.fitting.context import fit_context
from givre.coder.fitting.fit_kernels import FitKernels, choose_kernels
from givre.coder.fitting.normalisation import Target, make_target
from givre.coder.fitting.schedule import Recipe, plan_step
from givre.coder.fitting.settings import FitSettings, architecture_for
from givre.coder.fitting.soap import SoapSettings
from givre.coder.fitting.source import source_of
from givre.coder.fitting.torch_context import torch_threads
from givre.coder.fitting.trainer import Trainer
from givre.models.codec_model import CodecModel
from givre.models.latents import ProxySettings

IMPLEMENTATIONS = ("reference", "fused")
_STEPS = 4000  # of the schedule that the timed steps are taken from

_FEWEST_STEPS = {"reference": 2, "fused": 10}
"""Steps a round, at least. Every tenth renews SOAP's bases, which counts on small images."""

_SECONDS_A_ROUND = 1.0
"""Steps follow each other for so long, or those right after the other kind's would weigh most."""


def picture(width: int, height: int) -> np.ndarray:
    """A picture with structure at every scale, the same on every machine."""
    rng = np.random.default_rng(0)
    total = np.zeros((height, width, 3))
    for level in range(7):
        rows, columns = max(1, height >> level), max(1, width >> level)
        noise = rng.normal(0, 8, (rows, columns, 3))
        y, x = np.arange(height) * rows // height, np.arange(width) * columns // width
        total += noise[y][:, x]
    return np.clip(128 + total, 0, 255).astype(np.uint8)


def make_trainer(name: str, point: str, samples: np.ndarray, threads: int) -> Trainer:
    """A trainer some steps into its fit, so that its latents are not all zero."""
    settings = FitSettings(complexity=point, prior=0, kernels=name, threads=threads)
    return Trainer(fit_context(source_of(Picture(samples)), settings), Recipe())


def as_in_a_fit(name: str, threads: int) -> AbstractContextManager[None]:
    """Sets torch's threads as a fit with these kernels does."""
    kernels = choose_kernels(name, torch.device("cpu"), threads)
    return torch_threads(kernels.torch_threads)


def run_steps(trainer: Trainer, first: int, count: int) -> float:
    """Seconds a step over `count` steps from number `first` on."""
    started = perf_counter()
    for i in range(first, first + count):
        plan, upcoming = (plan_step(Recipe(), j, _STEPS) for j in (i, i + 1))
        trainer.step(i, plan, upcoming)
    return (perf_counter() - started) / count


def time_of(function: Callable[[], None]) -> float:
    """Seconds that a call takes."""
    started = perf_counter()
    function()
    return perf_counter() - started


def parts(kernels: FitKernels, point: str, target: Target) -> dict[str, Callable[[], None]]:
    """Each part of a step on its own, forward and backward, on latents of about unit size."""
    _, channels, height, width = target.normalised.shape
    arch = architecture_for(FitSettings(complexity=point), width, height, channels)
    generator = torch.Generator().manual_seed(0)
    model = CodecModel(arch, width, height).train()
    model.initialise(generator, target.mean)
    values = [torch.randn(g.height, g.width, generator=generator) for g in model.grids]
    dense = torch.randn(1, arch.n_levels, height, width, generator=generator)
    fitted = kernels.latents(model.grids, torch.device("cpu"))
    settings = ProxySettings(gain=16.0, temperature=0.2, noise=0.2, seed=0, step=0)
    gradients = [torch.randn(g.height, g.width, generator=generator) for g in model.grids]
    networks = list(model.parameters())
    for p in networks:
        p.grad = torch.randn(p.shape, generator=generator) * 1e-3
    soap = kernels.optimiser(networks, SoapSettings())

    def leaves() -> list[Tensor]:
        return [v.clone().requires_grad_() for v in values]

    def proxy() -> None:
        outputs = fitted.proxy(settings)
        torch.autograd.backward(outputs, gradients)
        fitted.update(1e-3, settings)

    def rate() -> None:
        kernels.rate(model, leaves()).backward()  # type: ignore[no-untyped-call]

    def upsampler() -> None:
        kernels.upsample(model, leaves()).backward(dense)  # type: ignore[no-untyped-call]

    def synthesis() -> None:
        leaf = dense.clone().requires_grad_()
        kernels.synthesis_distortion(model, leaf, target.normalised, target.span).backward()  # type: ignore[no-untyped-call]

    return {
        "proxy": proxy,
        "arm": rate,
        "upsampler": upsampler,
        "synthesis": synthesis,
        "networks": lambda: soap.step(1e-4),
    }


def compare(
    point: str, size: tuple[int, int], rounds: int, threads: int
) -> list[dict[str, object]]:
    """Rows for one point and size: every part, and the whole step."""
    samples = picture(*size)
    target = make_target(source_of(Picture(samples)))
    trainers = {n: make_trainer(n, point, samples, threads) for n in IMPLEMENTATIONS}
    times: dict[str, dict[str, list[float]]] = {}
    pieces = {
        name: parts(choose_kernels(name, torch.device("cpu"), threads), point, target)
        for name in IMPLEMENTATIONS
    }
    counts: dict[str, int] = {}
    for name in IMPLEMENTATIONS:
        with as_in_a_fit(name, threads):
            n = _FEWEST_STEPS[name]
            counts[name] = n * max(1, round(_SECONDS_A_ROUND / n / run_steps(trainers[name], 0, n)))
    for round_number in range(rounds + 1):
        for name in IMPLEMENTATIONS:
            with as_in_a_fit(name, threads):
                seconds = {part: time_of(function) for part, function in pieces[name].items()}
                first = _FEWEST_STEPS[name] + counts[name] * round_number
                seconds["whole step"] = run_steps(trainers[name], first, counts[name])
            if round_number:  # the first round warms up
                for part, found in seconds.items():
                    times.setdefault(part, {}).setdefault(name, []).append(found)
    rows: list[dict[str, object]] = []
    for part, by_name in times.items():
        reference, fused = (1e3 * median(by_name[name]) for name in IMPLEMENTATIONS)
        rows.append(
            {
                "point": point,
                "size": f"{size[0]}x{size[1]}",
                "part": part,
                "reference_ms": reference,
                "fused_ms": fused,
                "ratio": reference / fused,
                "fused_ns_per_pixel": 1e6 * fused / (size[0] * size[1]),
            }
        )
    return rows


def peak_memory(name: str, point: str, size: tuple[int, int], threads: int) -> float:
    """Peak resident memory in MiB of a process that does three steps."""
    command = [sys.executable, __file__, "--peak", name, point, f"{size[0]}x{size[1]}"]
    return measure([*command, "--threads", str(threads)]).peak_mib


def main() -> None:
    """Run the comparison, print and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", nargs="+", default=["256x256", "768x512", "2268x1512"])
    parser.add_argument("--points", nargs="+", default=["lop", "hop"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/step_time"))
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    threads = resolve_threads(args.threads)
    if args.peak:
        name, point, text = args.peak
        with as_in_a_fit(name, threads):
            run_steps(make_trainer(name, point, picture(*size_of(text)), threads), 0, 3)
        return
    rows: list[dict[str, object]] = []
    for text in args.sizes:
        for point in args.points:
            found = compare(point, size_of(text), args.rounds, threads)
            peaks = [peak_memory(n, point, size_of(text), threads) for n in IMPLEMENTATIONS]
            for row in found:
                whole = row["part"] == "whole step"
                row["reference_peak_mib"] = peaks[0] if whole else ""
                row["fused_peak_mib"] = peaks[1] if whole else ""
            tables.show(found)
            print()
            rows += found
            tables.save(rows, args.out)


def size_of(text: str) -> tuple[int, int]:
    """Width and height from "WxH"."""
    width, _, height = text.partition("x")
    return int(width), int(height)


if __name__ == "__main__":
    main()
