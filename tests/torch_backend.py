"""Exact decoding with torch in float64, on any device: the same bits as with NumPy.

It shares no arithmetic with the NumPy back end: convolutions are torch's own on the CPU and
shifted sums where a device might pick an inexact algorithm, which makes the agreement a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

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


def to_grid(x: Tensor) -> Tensor:
    """Round to the activation grid (half up) and clamp to the activation range: R(x)."""
    scaled = torch.floor(torch.ldexp(x, torch.tensor(ACTIVATION_BITS)) + 0.5)
    rounded = torch.ldexp(scaled, torch.tensor(-ACTIVATION_BITS))
    return rounded.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)


def _correlate(x: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Valid correlation of (C, H, W) with a 1-D kernel along axis 1 or 2, as a matmul."""
    windows = x.unfold(axis, len(kernel), 1)
    return windows @ kernel


class TorchBackend:
    """The decoder of one file, with the interface of `numpy_backend.NumpyBackend`.

    Args:
        arch: shapes.
        parameters: for each name of `architecture.tensor_specs`, float64 values m * 2^-e.
        device: where to compute.
    """

    def __init__(
        self, arch: Architecture, parameters: Mapping[str, Doubles], device: str = "cpu"
    ) -> None:
        self._arch = arch
        self._device = torch.device(device)
        self._p = {name: self._load(value) for name, value in parameters.items()}

    def predictor(self, height: int, width: int, features: Doubles | None) -> WavePredictor:
        """Predictor of a grid's latents, wave by wave."""
        return WavePredictor(self, self._arch, height, width, features)

    def features(self, grids: Sequence[Grid], latents: Sequence[Doubles], level: int) -> Doubles:
        """Inter-feature contexts (F, ceil(H/2), ceil(W/2)); see `NumpyBackend.features`."""
        height, width = grids[0].height, grids[0].width
        planes = []
        for grid, latent in zip(grids, latents, strict=True):
            factor = 1 << (grid.level - level - 1)
            dense = torch.kron(
                self._load(latent), torch.ones(factor, factor, device=self._device).double()
            )
            planes.append(dense[:height, :width].reshape(-1))
        weight, bias = self._p[f"ifce.{level}.weight"], self._p[f"ifce.{level}.bias"]
        mixed = weight @ torch.stack(planes) + bias[:, None]
        return self._store(to_grid(mixed).reshape(-1, height, width))

    def arm(self, context: Doubles) -> tuple[Doubles, NDArray[np.int64]]:
        """Mean and scale index, (n,) each, from contexts (n, D)."""
        c = self._load(context)
        h = c
        for i in range(self._arch.n_arm_hidden):
            weight, bias = self._p[f"arm.hidden.{i}.weight"], self._p[f"arm.hidden.{i}.bias"]
            h = to_grid(F.relu(F.linear(h, weight, bias) + h))
        out = F.linear(h, self._p["arm.output.weight"], self._p["arm.output.bias"])
        out = to_grid(out + F.linear(c, self._p["arm.stabiliser.weight"]))
        unit = float(1 << MEAN_BITS)
        mean = (torch.floor(out[:, 0] * unit + 0.5) / unit).clamp(MEAN_MIN, MEAN_MAX)
        index = torch.floor((out[:, 1] + SCALE_OFFSET) * SCALE_STEPS + 0.5)
        index = index.clamp(0, N_SCALES - 1)
        return self._store(mean), index.cpu().numpy().astype(np.int64)

    def stack(self, main: Sequence[Doubles]) -> Doubles:
        """Channels 1 .. L - 1 of the dense representation; see `NumpyBackend.stack`."""
        dense = self._load(main[-1])[None]
        for stage in range(self._arch.n_levels - 2):
            target = self._load(main[-2 - stage])
            up = self._doubled(dense, stage)[:, : target.shape[0], : target.shape[1]]
            dense = torch.cat([self._preconcat(target, stage)[None], up])
        return self._store(dense)

    def normalised_rows(self, finest: Doubles, stack: Doubles, first: int, last: int) -> Doubles:
        """Normalised samples of some rows; see `NumpyBackend.normalised_rows`.

        This back end is for checking and for devices with plenty of memory: it computes the whole
        image and returns the rows.
        """
        grid = self._load(finest)
        height, width = grid.shape
        up = self._doubled(self._load(stack), self._arch.n_levels - 2)[:, :height, :width]
        dense = torch.cat([self._preconcat(grid, self._arch.n_levels - 2)[None], up])
        return self._store(self._synthesise(dense)[:, first:last])

    def samples_rows(
        self, finest: Doubles, stack: Doubles, first: int, last: int, low: Doubles, span: Doubles
    ) -> NDArray[np.uint16]:
        """Samples (last - first, W, C) of some rows; `low`, `span` (C,) place 0 and 1."""
        normalised = np.clip(self.normalised_rows(finest, stack, first, last), 0.0, 1.0)
        samples = low[:, None, None] + np.floor(span[:, None, None] * normalised + 0.5)
        return np.moveaxis(samples, 0, 2).astype(np.uint16)

    def _load(self, value: Doubles) -> Tensor:
        return torch.from_numpy(np.array(value, dtype=np.float64)).to(self._device)

    @staticmethod
    def _store(value: Tensor) -> Doubles:
        return value.cpu().numpy()

    def _doubled(self, dense: Tensor, stage: int) -> Tensor:
        """Transposed convolution by its definition: zeros between the samples, then a filter."""
        half = self._p[f"upsampling.transposed.{stage}.weight"]
        kernel = torch.cat([half, half.flip(0)])
        pad = len(half)
        for axis in (1, 2):
            padding = (0, 0, pad, pad) if axis == 1 else (pad, pad, 0, 0)
            padded = F.pad(dense[None], padding, mode="replicate")[0]
            sparse = torch.zeros_like(padded).repeat_interleave(2, dim=axis)
            sparse.index_copy_(
                axis, torch.arange(0, sparse.shape[axis], 2, device=self._device), padded
            )
            # Valid correlation drops k - 1 samples of the full convolution, the crop k/2 more.
            filtered = _correlate(sparse, kernel, axis)
            dense = to_grid(filtered.narrow(axis, pad, 2 * dense.shape[axis]))
        return dense

    def _preconcat(self, grid: Tensor, stage: int) -> Tensor:
        half = self._p[f"upsampling.preconcat.{stage}.weight"]
        kernel = torch.cat([half, half[:-1].flip(0)])
        reach = len(half) - 1
        x = grid[None]
        for axis in (1, 2):
            padding = (0, 0, reach, reach) if axis == 1 else (reach, reach, 0, 0)
            x = to_grid(_correlate(F.pad(x[None], padding, mode="replicate")[0], kernel, axis))
        return to_grid(grid + x[0])

    def _pointwise(self, name: str, x: Tensor) -> Tensor:
        return torch.einsum("oi,ihw->ohw", self._p[f"synthesis.{name}.weight"][:, :, 0, 0], x)

    def _synthesise(self, dense: Tensor) -> Tensor:
        hidden = self._pointwise("hidden", dense) + self._p["synthesis.hidden.bias"][:, None, None]
        hidden = to_grid(F.relu(hidden))
        h = self._pointwise("output", hidden) + self._p["synthesis.output.bias"][:, None, None]
        h = to_grid(h)
        for i in range(self._arch.n_residual):
            weight = self._p[f"synthesis.residual.{i}.weight"]
            bias = self._p[f"synthesis.residual.{i}.bias"]
            padded = F.pad(h[None], (1, 1, 1, 1), mode="replicate")[0]
            windows = padded.unfold(1, 3, 1).unfold(2, 3, 1)
            h = to_grid(h + torch.einsum("oikl,ihwkl->ohw", weight, windows) + bias[:, None, None])
            if i + 1 < self._arch.n_residual:
                h = F.relu(h)
        return to_grid(h + self._pointwise("stabiliser", dense))
