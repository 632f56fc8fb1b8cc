"""The fused kernels as the operations that a fit is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from givre.errors import UsageError
from givre.models.codec_model import CodecModel
from givre.models.compiled.buffers import Buffers
from givre.models.compiled.pool import together
from givre.models.fused.entropy.arm import arm_rate
from givre.models.fused.entropy.rate import RateBackward, fused_rate
from givre.models.fused.entropy.tasks import (
    arm_tasks,
    collect_tasks,
    extract_features,
    extract_features_backward,
)
from givre.models.fused.latents.latents import FusedLatents
from givre.models.fused.latents.update import latent_pass
from givre.models.fused.module_parameters import ParameterArrays, arrays_of, parameters_of
from givre.models.fused.moves.attempts import count_all_bits, make_picture, try_moves
from givre.models.fused.networks.integer_rounding import descend_rows, round_rows
from givre.models.fused.networks.parameter_rate import difference_slope
from givre.models.fused.networks.soap_bases import renew_bases
from givre.models.fused.networks.soap_step import soap_step
from givre.models.fused.synthesis.distortion import (
    error_backward,
    fused_distortion,
    fused_synthesis,
)
from givre.models.fused.synthesis.passes import SynthesisPasses
from givre.models.fused.synthesis.pixel_network import pixel_backward, pixel_forward
from givre.models.fused.synthesis.residual_adjoint import residual_backward
from givre.models.fused.synthesis.residual_layers import (
    error_gradient,
    last_forward,
    residual_forward,
)
from givre.models.fused.upsampling.dense import fused_dense
from givre.models.fused.upsampling.passes import UpsamplingPasses
from givre.models.fused.upsampling.stages import add_item_sums, stages_adjoint, stages_forward
from givre.models.geometry import Grid
from givre.models.latents import ProxySettings, hard_latents

STEP_KERNELS = (
    stages_adjoint,
    stages_forward,
    arm_tasks,
    pixel_backward,
    soap_step,
    residual_backward,
    renew_bases,
    pixel_forward,
    arm_rate,
    latent_pass,
    collect_tasks,
    last_forward,
    residual_forward,
    extract_features,
    extract_features_backward,
    round_rows,
    descend_rows,
    difference_slope,
    add_item_sums,
    error_gradient,
)
"""What every fit calls, up to the quantised parameters; what compiles longest comes first."""

MOVE_KERNELS = (try_moves, make_picture, count_all_bits)
"""What moving single latents calls besides."""


@dataclass(frozen=True)
class _Networks:
    """A model and its parameters as a step wants them: to find them takes as long as a kernel.

    Attributes:
        model: what they belong to.
        entropy: parameters of ARM and IFCE.
        filters: of the upsampling; the first `n_transposed` are the transposed ones.
        synthesis: of the synthesis.
        main: which grids are main grids.
    """

    model: CodecModel
    entropy: ParameterArrays
    filters: ParameterArrays
    n_transposed: int
    synthesis: ParameterArrays
    main: tuple[int, ...]

    @classmethod
    def of(cls, model: CodecModel) -> _Networks:
        """Find them in a model."""
        return cls(
            model,
            arrays_of(model.arm, model.ifce),
            arrays_of(model.upsampling),
            len(model.upsampling.transposed),
            arrays_of(model.synthesis),
            tuple(i for i, grid in enumerate(model.grids) if not grid.hyper),
        )


class FusedFittedLatents:
    """`FusedLatents` with the interface of `models.latents.FittedLatents`.

    Args:
        grids: geometry; the values start at zero.
        threads: of the kernels; the results do not depend on it.
    """

    def __init__(self, grids: Sequence[Grid], threads: int) -> None:
        self._inner = FusedLatents([(g.height, g.width) for g in grids], threads)
        self._made_for: ProxySettings | None = None
        self._threads, self._buffers = threads, Buffers()
        self._networks: _Networks | None = None
        self._give: Sequence[Callable[[], None]] = ()

    def start(self, values: Sequence[Tensor], gain: float) -> None:
        """Begin at `values` (H_i, W_i), which are on the symbols' scale: gain * u."""
        for u, value in zip(self._inner.latents, values, strict=True):
            u.copy_(value / gain)
        self._made_for = None

    def values(self) -> list[Tensor]:
        """The fitted values u (H_i, W_i), before the gain; not copies."""
        return self._inner.latents

    def proxy(self, settings: ProxySettings) -> list[Tensor]:
        """Stand-ins for the rounded latents, valid up to the next update."""
        if settings != self._made_for:
            self._inner.proxy(settings)
        self._made_for = None
        return self._inner.proxies

    def backward(self, model: CodecModel, target: Tensor, span: Tensor, rate_weight: float) -> None:
        """See `models.latents.FittedLatents`; no graph is built, and no memory is taken anew.

        Rate and distortion are independent of each other, so on two threads each gets one: that
        spares them most of their waiting for each other, which counts on small images. For the
        same reason the networks' gradients wait for `give_gradients`.
        """
        inner, threads = self._inner, self._threads
        networks = self._networks
        if networks is None or networks.model is not model:
            networks = self._networks = _Networks.of(model)
        rate = RateBackward(
            model, networks.entropy, inner.arrays, rate_weight, threads, self._buffers
        )
        together((lambda: self._distortion_backward(networks, target, span), rate.visit), threads)
        rate.add_to(inner.gradient)

    def give_gradients(self) -> None:
        """See `models.latents.FittedLatents`."""
        for give in self._give:
            give()
        self._give = ()

    def _distortion_backward(self, networks: _Networks, target: Tensor, span: Tensor) -> None:
        """Write the distortion's gradient over that of the main grids."""
        inner, threads, buffers = self._inner, self._threads, self._buffers
        halves, n = networks.filters.arrays, networks.n_transposed
        latents = [inner.arrays[i] for i in networks.main]
        upsampling = UpsamplingPasses(latents, halves[:n], halves[n:], threads, buffers)
        dense = upsampling.forward()
        synthesis = SynthesisPasses(networks.synthesis.arrays, dense, threads, buffers)
        _, gradient = error_backward(synthesis, target, span, threads)
        upsampling.backward(gradient, [inner.gradients[i] for i in networks.main])
        self._give = (
            lambda: networks.synthesis.set_gradients(synthesis.parameter_gradients()),
            lambda: networks.filters.set_gradients(upsampling.filter_gradients()),
        )

    def update(self, learning_rate: float, upcoming: ProxySettings | None) -> None:
        """One Adam step from the gradients of the last proxy, and the next proxy with it."""
        self._inner.update(learning_rate, upcoming)
        self._made_for = upcoming

    def rounded(self, gain: float) -> list[Tensor]:
        """Latents as the file would hold them, integer values in float tensors."""
        return hard_latents([u * gain for u in self._inner.latents])

    def state_tensors(self) -> dict[str, Tensor]:
        """All state as named tensors, for a checkpoint."""
        return self._inner.state_tensors()

    def load_state_tensors(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_tensors` gave; KeyError when something is missing."""
        self._inner.load_state_tensors(state)
        self._made_for = None


class FusedOperations:
    """Rate, upsampling and distortion on the CPU, on a given number of threads.

    Args:
        threads: how many to use; the results do not depend on it.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def latents(self, grids: Sequence[Grid], device: torch.device) -> FusedFittedLatents:
        """Fitted latents of grids. `device` must be the CPU."""
        if device.type != "cpu":
            raise UsageError(f"fused latents live on the cpu, not on {device}")
        return FusedFittedLatents(grids, self._threads)

    def rate(self, model: CodecModel, latents: Sequence[Tensor]) -> Tensor:
        """Total bits; see `CodecModel.rate`."""
        return fused_rate(model, latents, self._threads)

    def upsample(self, model: CodecModel, latents: Sequence[Tensor]) -> Tensor:
        """Dense representation (1, L, H, W); see `CodecModel.dense`."""
        filters = model.upsampling
        pairs = zip(model.grids, latents, strict=True)
        return fused_dense(
            [latent for grid, latent in pairs if not grid.hyper],
            list(parameters_of(filters.transposed)),
            list(parameters_of(filters.preconcat)),
            self._threads,
        )

    def synthesise(self, model: CodecModel, dense: Tensor) -> Tensor:
        """Normalised samples (1, C, H, W), without a gradient; see `models.synthesis`."""
        return fused_synthesis(model.synthesis, dense, self._threads)

    def synthesis_distortion(
        self, model: CodecModel, dense: Tensor, target: Tensor, span: Tensor
    ) -> Tensor:
        """Mean squared error; see `models.synthesis.distortion`."""
        return fused_distortion(model.synthesis, dense, target, span, self._threads)

    def together(self, pieces: Sequence[Callable[[], None]]) -> None:
        """Do independent pieces of work at once, as far as there are threads."""
        together(pieces, self._threads)
