"""Time of the upsampler in every form, and how much of the memory's bandwidth it makes use of.

    python benchmarks/upsampler.py [--sizes 768x512 2268x1512] [--rounds 7] [--threads 2]

All forms run in the same process, in turn, and medians of the rounds are compared. The bandwidth
of a form is the least traffic that its task allows, over its time. That traffic is, forward: read
the latents, write the dense representation; backward besides: read its gradient and the latents,
write the latents' gradients. A large copy by as many threads says what the machine can do; a
pyramid that fits in its cache may exceed that.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import tables
import torch
from torch import Tensor
from torch.nn import functional as F

from givre.models.fused.upsampling.dense import fused_upsample
from givre.models.geometry import level_size
from givre.models.upsampling import (
    INFERENCE_FORM,
    TRAINING_FORM,
    ExecutionForm,
    Upsampling,
    preconcat_1d_passes,
    symmetric_even_kernel,
    upsample,
)

_LEVELS = 7
_COPY_BYTES = 1 << 28
_FUSED, _BICUBIC = "fused", "bicubic interpolation"

Upsampler = Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class Pyramid:
    """Latents (1, 1, H_i, W_i), the halves of both kinds of filters, a gradient of the result."""

    latents: list[Tensor]
    transposed: list[Tensor]
    preconcat: list[Tensor]
    gradient: Tensor

    @property
    def leaves(self) -> list[Tensor]:
        """Everything that gets a gradient."""
        return [*self.latents, *self.transposed, *self.preconcat]


def make_pyramid(width: int, height: int, device: str) -> Pyramid:
    """Random latents, the initial filters and a random gradient."""
    generator = torch.Generator().manual_seed(0)
    latents = [
        torch.randn(1, 1, *level_size(width, height, i), generator=generator)
        for i in range(_LEVELS)
    ]
    module = Upsampling(8, 7, _LEVELS - 1, _LEVELS - 1)
    parameters = {name: p.detach() for name, p in module.named_parameters()}
    gradient = torch.randn(1, _LEVELS, height, width, generator=generator)

    def leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
        return [tensor.to(device).requires_grad_() for tensor in tensors]

    return Pyramid(
        leaves(latents),
        leaves([p for name, p in parameters.items() if name.startswith("transposed")]),
        leaves([p for name, p in parameters.items() if name.startswith("preconcat")]),
        gradient.to(device),
    )


def transposed_two_passes(x: Tensor, half: Tensor) -> Tensor:
    """`givre.models.upsampling.transposed_2d` as a vertical, then a horizontal transposed pass."""
    n, kernel = half.numel(), symmetric_even_kernel(half)[None, None, None]
    crop = 3 * n - 1
    tall = F.pad(x, (0, 0, n, n), mode="replicate")
    rows = F.conv_transpose2d(tall, kernel.mT, None, (2, 1), (crop, 0))
    wide = F.pad(rows, (n, n, 0, 0), mode="replicate")
    return F.conv_transpose2d(wide, kernel, None, (1, 2), (0, crop))


def _interpolated(x: Tensor, half: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)


def _unfiltered(x: Tensor, half: Tensor) -> Tensor:
    return x


def make_upsamplers(device: str, threads: int) -> dict[str, Upsampler]:
    """Every form that runs on a device, by name."""
    forms = {
        "2D kernels": TRAINING_FORM,
        "two passes, transposed": ExecutionForm(transposed_two_passes, preconcat_1d_passes),
        "two passes, polyphase": INFERENCE_FORM,
        _BICUBIC: ExecutionForm(_interpolated, _unfiltered),
    }

    def with_form(form: ExecutionForm) -> Upsampler:
        return lambda latents, transposed, preconcat: upsample(latents, transposed, preconcat, form)

    found = {name: with_form(form) for name, form in forms.items()}
    if device == "cpu":
        found[_FUSED] = lambda latents, transposed, preconcat: fused_upsample(
            latents, transposed, preconcat, threads
        )
    return found


def check(pyramid: Pyramid, upsamplers: dict[str, Upsampler]) -> None:
    """Raise AssertionError unless all forms that compute the same give the same."""
    with torch.no_grad():
        found = {
            name: upsampler(pyramid.latents, pyramid.transposed, pyramid.preconcat).cpu()
            for name, upsampler in upsamplers.items()
            if name != _BICUBIC
        }
    for dense in found.values():
        torch.testing.assert_close(dense, found["2D kernels"], rtol=1e-4, atol=1e-4)


def seconds(pyramid: Pyramid, upsampler: Upsampler, backward: bool) -> float:
    """Time of one forward pass, or of a forward and a backward pass."""
    for leaf in pyramid.leaves:
        leaf.grad = None
    _finish(pyramid)
    started = perf_counter()
    with torch.set_grad_enabled(backward):
        dense = upsampler(pyramid.latents, pyramid.transposed, pyramid.preconcat)
        if backward:
            dense.backward(pyramid.gradient)  # type: ignore[no-untyped-call]
    _finish(pyramid)
    return perf_counter() - started


def _finish(pyramid: Pyramid) -> None:
    if pyramid.gradient.is_cuda:
        torch.cuda.synchronize()


def least_traffic(pyramid: Pyramid, backward: bool) -> int:
    """Bytes that must be read and written, as the module's docstring counts them."""
    latents = sum(latent.nbytes for latent in pyramid.latents)
    dense = pyramid.gradient.nbytes
    return 3 * latents + 2 * dense if backward else latents + dense


def copy_bandwidth(threads: int, rounds: int) -> float:
    """Bytes a second, read and written, of a copy too large for a cache; median of the rounds."""
    source = np.ones((threads, _COPY_BYTES // threads), np.uint8)
    target = np.zeros_like(source)
    times = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds + 1):
            started = perf_counter()
            list(pool.map(np.copyto, target, source))
            times.append(perf_counter() - started)
    return 2 * source.nbytes / median(times[1:])


def compare(
    size: tuple[int, int], device: str, rounds: int, threads: int, copy: float
) -> list[dict[str, object]]:
    """Rows of every form, forward alone and with the backward pass."""
    pyramid, upsamplers = make_pyramid(*size, device), make_upsamplers(device, threads)
    check(pyramid, upsamplers)
    rows: list[dict[str, object]] = []
    for backward in (False, True):
        times: dict[str, list[float]] = {name: [] for name in upsamplers}
        for round_number in range(rounds + 1):
            for name, upsampler in upsamplers.items():
                took = seconds(pyramid, upsampler, backward)
                if round_number:  # the first round warms up
                    times[name].append(took)
        medians = {name: median(found) for name, found in times.items()}
        for name, took in medians.items():
            speed = least_traffic(pyramid, backward) / took
            row: dict[str, object] = {
                "size": f"{size[0]}x{size[1]}",
                "device": device,
                "threads": threads if device == "cpu" else "",
                "pass": "forward + backward" if backward else "forward",
                "form": name,
                "ms": 1e3 * took,
                "ratio_to_fused": took / medians[_FUSED] if _FUSED in medians else "",
                "gb_s": speed / 1e9,
                "copy_gb_s": copy / 1e9 if device == "cpu" else "",
                "share_of_copy": speed / copy if device == "cpu" else "",
            }
            rows.append(row)
    return rows


def main() -> None:
    """Time every size on every device, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", nargs="+", default=["768x512", "2268x1512"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/upsampler"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    copy = copy_bandwidth(args.threads, args.rounds)
    rows: list[dict[str, object]] = []
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for text in args.sizes:
            width, _, height = text.partition("x")
            found = compare((int(width), int(height)), device, args.rounds, args.threads, copy)
            tables.show(found)
            print()
            rows += found
            tables.save(rows, args.out)


if __name__ == "__main__":
    main()
