"""What a decoder is made of: the architecture, its four named points, and its parameter tensors.

Nothing here computes: the torch modules (fitting), the exact modules (decoding) and the bitstream
all read the same description, so they cannot disagree about a shape. No torch is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from givre.errors import UsageError

IFCE_GRIDS = 3
"""The inter-feature context extractor serves the grids 0 .. IFCE_GRIDS - 1."""

FIRST_HYPER_LEVEL = 4
"""The finest level that gets a hyper-latent grid (1/16 of the image's size)."""


@dataclass(frozen=True)
class Architecture:
    """The shape of one decoder.

    Attributes:
        n_spatial: causal neighbours in the ARM's context, 1 to 40.
        n_features: inter-feature contexts F from the IFCE, 0 to 16.
        n_arm_hidden: residual hidden layers of the ARM, each n_spatial + n_features wide.
        synthesis_hidden: features of the synthesis' per-pixel hidden layer, 1 to 128.
        n_residual: 3x3 residual layers at the end of the synthesis, 0 to 4; all but the last
            are followed by a ReLU.
        ups_k_size: taps of the x2 upsampling filter, even and at least 4.
        ups_preconcat_k_size: taps of the pre-concatenation filter, odd.
        n_levels: main latent grids L, levels 0 (full size) to L - 1; 2 to 15.
        n_hyper: hyper-latent grids, at the n_hyper coarsest levels, never at the levels that
            have an inter-feature context extractor.
        n_channels: samples a pixel: 1 grey, 2 grey + alpha, 3 RGB, 4 RGB + alpha.
    """

    n_spatial: int
    n_features: int
    synthesis_hidden: int
    n_residual: int
    n_arm_hidden: int = 2
    ups_k_size: int = 8
    ups_preconcat_k_size: int = 7
    n_levels: int = 7
    n_hyper: int = 3
    n_channels: int = 3

    def __post_init__(self) -> None:
        bounds = {
            "n_spatial": (1, 40),
            "n_features": (0, 16),
            "synthesis_hidden": (1, 128),
            "n_residual": (0, 4),
            "n_arm_hidden": (0, 4),
            "ups_k_size": (4, 16),
            "ups_preconcat_k_size": (1, 15),
            "n_levels": (2, 15),
            "n_hyper": (0, max(0, self.n_levels - IFCE_GRIDS)),
            "n_channels": (1, 4),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"{name} is {value}, it must be {low} to {high}")
        if self.ups_k_size % 2 or not self.ups_preconcat_k_size % 2:
            raise UsageError("ups_k_size must be even and ups_preconcat_k_size odd")

    @property
    def context_width(self) -> int:
        """Inputs of the ARM: spatial neighbours, then inter-feature contexts."""
        return self.n_spatial + self.n_features

    @property
    def n_ifce(self) -> int:
        """Grids that have an inter-feature context extractor of their own."""
        return min(IFCE_GRIDS, self.n_levels - 1) if self.n_features else 0


@dataclass(frozen=True)
class TensorSpec:
    """One parameter tensor of the decoder.

    Attributes:
        name: dotted name, the same in torch's state dict, in checkpoints and in exact decoding.
        shape: dimensions; weights are (out, in[, kh, kw]).
        group: tensors of one group share a quantisation step and a Laplace scale in the file.
    """

    name: str
    shape: tuple[int, ...]
    group: str

    @property
    def size(self) -> int:
        """Number of parameters in the tensor."""
        return prod(self.shape)


NAMED_POINTS: dict[str, Architecture] = {
    "lop": Architecture(n_spatial=6, n_features=2, synthesis_hidden=8, n_residual=1),
    "mop": Architecture(n_spatial=10, n_features=4, synthesis_hidden=16, n_residual=2),
    "hop": Architecture(n_spatial=14, n_features=6, synthesis_hidden=48, n_residual=2),
    "vhop": Architecture(n_spatial=20, n_features=6, synthesis_hidden=64, n_residual=2),
}
"""The named complexity points: about 500, 1000, 2000 and 3000 multiplications a pixel."""


def with_picture(point: Architecture, arch: Architecture) -> Architecture:
    """A named point with the grids and the channels of another architecture."""
    return replace(point, n_levels=arch.n_levels, n_hyper=arch.n_hyper, n_channels=arch.n_channels)


def architecture_name(arch: Architecture) -> str | None:
    """Name of the complexity point that `arch` is, grids and channels apart; None for custom."""
    for name, point in NAMED_POINTS.items():
        if with_picture(point, arch) == arch:
            return name
    return None


def n_levels_for(width: int, height: int) -> int:
    """Number of latent grids for an image: 7 below 1 Mpx, 8 below 3 Mpx, 9 above."""
    pixels = width * height
    if pixels < 1_000_000:
        return 7
    return 8 if pixels < 3_000_000 else 9


def default_grids(width: int, height: int) -> tuple[int, int]:
    """Main grids L and hyper grids Y that an encoder takes for an image of this size."""
    n_levels = n_levels_for(width, height)
    return n_levels, n_levels - FIRST_HYPER_LEVEL


def tensor_specs(arch: Architecture) -> tuple[TensorSpec, ...]:
    """Every parameter tensor of the decoder, in the order in which the file holds them."""
    width, channels = arch.context_width, arch.n_channels
    specs: list[TensorSpec] = []

    def add(name: str, shape: tuple[int, ...], group: str) -> None:
        specs.append(TensorSpec(name, shape, group))

    for i in range(arch.n_arm_hidden):
        add(f"arm.hidden.{i}.weight", (width, width), "arm.hidden")
        add(f"arm.hidden.{i}.bias", (width,), "arm.bias")
    add("arm.output.weight", (2, width), "arm.output")
    add("arm.output.bias", (2,), "arm.bias")
    add("arm.stabiliser.weight", (2, width), "arm.output")
    for level in range(arch.n_ifce):
        n_in = arch.n_levels - level - 1 + arch.n_hyper
        add(f"ifce.{level}.weight", (arch.n_features, n_in), "ifce.weight")
        add(f"ifce.{level}.bias", (arch.n_features,), "ifce.bias")
    for stage in range(arch.n_levels - 1):
        add(f"upsampling.transposed.{stage}.weight", (arch.ups_k_size // 2,), "ups.transposed")
    for stage in range(arch.n_levels - 1):
        n_taps = (arch.ups_preconcat_k_size + 1) // 2
        add(f"upsampling.preconcat.{stage}.weight", (n_taps,), "ups.preconcat")
    hidden = arch.synthesis_hidden
    add("synthesis.hidden.weight", (hidden, arch.n_levels, 1, 1), "synthesis.hidden")
    add("synthesis.hidden.bias", (hidden,), "synthesis.bias")
    add("synthesis.output.weight", (channels, hidden, 1, 1), "synthesis.output")
    add("synthesis.output.bias", (channels,), "synthesis.bias")
    for i in range(arch.n_residual):
        add(f"synthesis.residual.{i}.weight", (channels, channels, 3, 3), "synthesis.residual")
        add(f"synthesis.residual.{i}.bias", (channels,), "synthesis.bias")
    add("synthesis.stabiliser.weight", (channels, arch.n_levels, 1, 1), "synthesis.stabiliser")
    return tuple(specs)


def group_names(arch: Architecture) -> tuple[str, ...]:
    """Names of the parameter groups, in order of first appearance in the file."""
    return tuple(dict.fromkeys(spec.group for spec in tensor_specs(arch)))
