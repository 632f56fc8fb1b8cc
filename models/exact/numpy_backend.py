"""Exact decoding with NumPy: the readable implementation that every other one must equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from givre.models.architecture import Architecture
from givre.models.compiled.types import Doubles
from givre.models.exact.arithmetic import (
    ACTIVATION_BITS,
    ACTIVATION_LIMIT,
    MEAN_BITS,
    MEAN_MAX,
    MEAN_MIN,
    N_SCALES,
    SCALE_OFFSET,
    SCALE_STEPS,
)
from givre.models.exact.wavefront import WavePredictor
from givre.models.geometry import Grid

_PIXELS_AT_A_TIME = 1 << 14


def to_grid(x: Doubles) -> Doubles:
    """Round to the activation grid (half up) and clamp to the activation range: R(x)."""
    scaled = np.floor(x * (1 << ACTIVATION_BITS) + 0.5)
    limit = ACTIVATION_LIMIT * (1 << ACTIVATION_BITS)
    return np.clip(scaled, -limit, limit) / (1 << ACTIVATION_BITS)


def transposed_pass(x: Doubles, half: Doubles, axis: int) -> Doubles:
    """One polyphase pass of the x2 upsampling filter along `axis`, replicate border.

    Args:
        x: values on the activation grid.
        half: left k/2 taps of the symmetric filter.
        axis: axis to double.

    Returns:
        R(.) of the filtered signal, twice as long along `axis`.
    """
    taps = len(half)
    kernel = np.concatenate([half, half[::-1]])
    size = x.shape[axis]
    moved = np.moveaxis(x, axis, -1)
    padded = np.pad(moved, [(0, 0)] * (x.ndim - 1) + [(taps, taps)], mode="edge")
    out = np.empty((*moved.shape[:-1], 2 * size))
    for phase in (0, 1):
        # Sample o = 2m + phase reads x[i] through tap o + k/2 - 1 - 2i.
        total = np.zeros_like(moved)
        for tap in range(2 * taps):
            shift, odd = divmod(phase + taps - 1 - tap, 2)
            if not odd:
                total += kernel[tap] * padded[..., taps + shift : taps + shift + size]
        out[..., phase::2] = to_grid(total)
    return np.moveaxis(out, -1, axis)


def preconcat_pass(x: Doubles, half: Doubles, axis: int) -> Doubles:
    """One pass of the symmetric pre-concatenation filter along `axis`, replicate border."""
    centre = len(half) - 1
    kernel = np.concatenate([half, half[:-1][::-1]])
    size = x.shape[axis]
    moved = np.moveaxis(x, axis, -1)
    padded = np.pad(moved, [(0, 0)] * (x.ndim - 1) + [(centre, centre)], mode="edge")
    total = np.zeros_like(moved)
    for tap, weight in enumerate(kernel):
        total += weight * padded[..., tap : tap + size]
    return np.moveaxis(to_grid(total), -1, axis)


class NumpyBackend:
    """The decoder of one file: entropy model, upsampling and synthesis.

    Args:
        arch: shapes.
        parameters: for each name of `architecture.tensor_specs`, float64 values m * 2^-e.
    """

    def __init__(self, arch: Architecture, parameters: Mapping[str, Doubles]) -> None:
        self._arch = arch
        self._p = parameters

    def predictor(self, height: int, width: int, features: Doubles | None) -> WavePredictor:
        """Predictor of a grid's latents, wave by wave."""
        return WavePredictor(self, self._arch, height, width, features)

    def features(self, grids: Sequence[Grid], latents: Sequence[Doubles], level: int) -> Doubles:
        """Inter-feature contexts of the main grid of `level`.

        Args:
            grids: geometry of the grids decoded before it, fine to coarse.
            latents: their values.
            level: 0 .. n_ifce - 1.

        Returns:
            (F, ceil(H/2), ceil(W/2)).
        """
        finest = grids[0]
        rows, columns = np.arange(finest.height), np.arange(finest.width)
        weight, bias = self._p[f"ifce.{level}.weight"], self._p[f"ifce.{level}.bias"]
        total = np.empty((len(bias), finest.height, finest.width))
        total[:] = bias[:, None, None]
        for n, (grid, latent) in enumerate(zip(grids, latents, strict=True)):
            shift = grid.level - level - 1
            dense = latent[rows >> shift][:, columns >> shift]
            total += weight[:, n, None, None] * dense
        return to_grid(total)

    def arm(self, context: Doubles) -> tuple[Doubles, NDArray[np.int64]]:
        """Mean and scale index, (n,) each, from contexts (n, D)."""
        h = context
        for i in range(self._arch.n_arm_hidden):
            weight, bias = self._p[f"arm.hidden.{i}.weight"], self._p[f"arm.hidden.{i}.bias"]
            h = to_grid(np.maximum(h @ weight.T + bias + h, 0.0))
        out = h @ self._p["arm.output.weight"].T + self._p["arm.output.bias"]
        out = to_grid(out + context @ self._p["arm.stabiliser.weight"].T)
        scale_mean = 1 << MEAN_BITS
        mean = np.clip(np.floor(out[:, 0] * scale_mean + 0.5) / scale_mean, MEAN_MIN, MEAN_MAX)
        index = np.floor((out[:, 1] + SCALE_OFFSET) * SCALE_STEPS + 0.5)
        return mean, np.clip(index, 0, N_SCALES - 1).astype(np.int64)

    def stack(self, main: Sequence[Doubles]) -> Doubles:
        """Dense representation one stage before the end: channels 1 .. L - 1 at level 1's size.

        Args:
            main: main grids, fine to coarse; the finest is not read.

        Returns:
            (L - 1, ceil(H/2), ceil(W/2)).
        """
        dense = main[-1][None]
        for stage in range(self._arch.n_levels - 2):
            target = main[-2 - stage]
            up = self._doubled(dense, stage)[:, : target.shape[0], : target.shape[1]]
            dense = np.concatenate([self._preconcat(target, stage)[None], up])
        return dense

    def normalised_rows(self, finest: Doubles, stack: Doubles, first: int, last: int) -> Doubles:
        """Normalised samples of the rows first .. last - 1, not clamped.

        Working in bands bounds the memory; each band gets the rows around it that the filters
        reach, so the result does not depend on how the image is cut.

        Args:
            finest: main grid of level 0, (H, W).
            stack: the rest of the representation, from `stack`.
            first: first row.
            last: row after the last.

        Returns:
            (C, last - first, W).
        """
        height, width = finest.shape
        halo = self._arch.n_residual
        top, bottom = max(0, first - halo), min(height, last + halo)
        dense = np.concatenate(
            [
                self._finest_rows(finest, top, bottom)[None],
                self._doubled_rows(stack, top, bottom)[:, :, :width],
            ]
        )
        return self._synthesise(dense)[:, first - top : last - top]

    def samples_rows(
        self, finest: Doubles, stack: Doubles, first: int, last: int, low: Doubles, span: Doubles
    ) -> NDArray[np.uint16]:
        """Samples (last - first, W, C) of some rows; `low` and `span` (C,) place 0 and 1."""
        normalised = np.clip(self.normalised_rows(finest, stack, first, last), 0.0, 1.0)
        samples = low[:, None, None] + np.floor(span[:, None, None] * normalised + 0.5)
        return np.moveaxis(samples, 0, 2).astype(np.uint16)

    def _doubled(self, dense: Doubles, stage: int) -> Doubles:
        half = self._p[f"upsampling.transposed.{stage}.weight"]
        return transposed_pass(transposed_pass(dense, half, 1), half, 2)

    def _doubled_rows(self, stack: Doubles, top: int, bottom: int) -> Doubles:
        reach = self._arch.ups_k_size // 2
        low = max(0, top // 2 - reach)
        high = min(stack.shape[1], -(-bottom // 2) + reach)
        up = self._doubled(stack[:, low:high], self._arch.n_levels - 2)
        return up[:, top - 2 * low : bottom - 2 * low]

    def _preconcat(self, grid: Doubles, stage: int) -> Doubles:
        half = self._p[f"upsampling.preconcat.{stage}.weight"]
        return to_grid(grid + preconcat_pass(preconcat_pass(grid, half, 0), half, 1))

    def _finest_rows(self, finest: Doubles, top: int, bottom: int) -> Doubles:
        reach = self._arch.ups_preconcat_k_size // 2
        low, high = max(0, top - reach), min(len(finest), bottom + reach)
        return self._preconcat(finest[low:high], self._arch.n_levels - 2)[top - low : bottom - low]

    def _pointwise(self, name: str, x: Doubles) -> Doubles:
        weight = self._p[f"synthesis.{name}.weight"][:, :, 0, 0]
        return (weight @ x.reshape(len(x), -1)).reshape(len(weight), *x.shape[1:])

    def _synthesise(self, dense: Doubles) -> Doubles:
        h = self._per_pixel(dense)
        for i in range(self._arch.n_residual):
            h = to_grid(h + self._conv3x3(h, i))
            if i + 1 < self._arch.n_residual:
                h = np.maximum(h, 0.0)
        return to_grid(h + self._pointwise("stabiliser", dense))

    def _per_pixel(self, dense: Doubles) -> Doubles:
        """Hidden and output layer, a few pixels at a time: the hidden layer is the widest."""
        bias_hidden = self._p["synthesis.hidden.bias"][:, None]
        bias_output = self._p["synthesis.output.bias"][:, None]
        flat = dense.reshape(len(dense), -1)
        out = np.empty((len(bias_output), flat.shape[1]))
        for first in range(0, flat.shape[1], _PIXELS_AT_A_TIME):
            block = slice(first, first + _PIXELS_AT_A_TIME)
            hidden = self._pointwise("hidden", flat[:, block]) + bias_hidden
            hidden = to_grid(np.maximum(hidden, 0.0))
            out[:, block] = to_grid(self._pointwise("output", hidden) + bias_output)
        return out.reshape(-1, *dense.shape[1:])

    def _conv3x3(self, x: Doubles, layer: int) -> Doubles:
        weight = self._p[f"synthesis.residual.{layer}.weight"]
        bias = self._p[f"synthesis.residual.{layer}.bias"]
        _, height, width = x.shape
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
        total = np.empty_like(x)
        total[:] = bias[:, None, None]
        for dy in range(3):
            for dx in range(3):
                window = padded[:, dy : dy + height, dx : dx + width]
                total += np.einsum("oi,ihw->ohw", weight[:, :, dy, dx], window)
        return total
