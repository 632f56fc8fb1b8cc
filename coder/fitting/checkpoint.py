"""The outcome of a fit, and the file that keeps it: a checkpoint from which it can go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from givre.bitstream.priors import Prior
from givre.coder.files.atomic import atomic_write_bytes
from givre.coder.fitting.prior_choice import prior_for
from givre.coder.fitting.settings import FitSettings, architecture_for
from givre.coder.fitting.source import Source
from givre.errors import CheckpointError, GivreError
from givre.models.architecture import Architecture, tensor_specs
from givre.models.geometry import LATENT_MAX, LATENT_MIN, grids

_FORMAT = "givre-fit-3"


@dataclass(frozen=True)
class Fit:
    """A decoder and latents fitted to one image, before the decoder's quantisation.

    Attributes:
        settings: what was asked for.
        width: of the image, in pixels.
        height: of the image, in pixels.
        digest: of the image, see `Source.digest`.
        channels: outputs of the synthesis.
        parameters: float32 tensors by name, `architecture.tensor_specs`.
        latents: int8 grids (H_i, W_i), in the order of `geometry.grids`.
        bpp: estimate of the rate of the latents alone, bits per pixel.
        psnr_db: estimate of the quality.
        steps: steps done.
        seconds: time they took.
        state: tensors from which the fit can be continued; empty if it cannot.
        source: the image itself, when the fit was made in this process; a checkpoint does not hold
            it.
    """

    settings: FitSettings
    width: int
    height: int
    channels: int
    digest: str
    parameters: dict[str, Tensor]
    latents: list[Tensor]
    bpp: float
    psnr_db: float
    steps: int
    seconds: float
    state: dict[str, Tensor] = field(default_factory=dict, repr=False)
    source: Source | None = field(default=None, repr=False, compare=False)

    @property
    def psnr(self) -> float:
        """Short for `psnr_db`."""
        return self.psnr_db

    @property
    def architecture(self) -> Architecture:
        """The decoder's architecture."""
        return architecture_for(self.settings, self.width, self.height, self.channels)

    @property
    def prior(self) -> Prior:
        """The prior that the decoder started from."""
        return prior_for(self.settings, self.architecture, self.width * self.height)

    @property
    def finished(self) -> bool:
        """Whether all the steps asked for are done."""
        return self.steps >= self.settings.steps

    def save(self, path: Path | str) -> None:
        """Write a checkpoint, in one stroke, in place of whatever is there."""
        tensors = {f"parameter.{name}": value for name, value in self.parameters.items()}
        tensors |= {f"latent.{i}": latent for i, latent in enumerate(self.latents)}
        tensors |= {f"state.{name}": value for name, value in self.state.items()}
        header = {
            "format": _FORMAT,
            "settings": asdict(self.settings),
            "width": self.width,
            "height": self.height,
            "channels": self.channels,
            "digest": self.digest,
            "bpp": self.bpp,
            "psnr_db": self.psnr_db,
            "steps": self.steps,
            "seconds": self.seconds,
        }
        contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        data = safetensors.torch.save(contiguous, {"givre": json.dumps(header)})
        atomic_write_bytes(Path(path), data, force=True)

    @staticmethod
    def load(path: Path | str) -> Fit:
        """Read a checkpoint. Raises CheckpointError when it is not one or does not fit together."""
        try:
            with safetensors.safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, safetensors.SafetensorError) as error:
            raise CheckpointError(f"cannot read checkpoint {path}: {error}") from error
        try:
            fit = _from_checkpoint(json.loads(metadata["givre"]), tensors)
        except (KeyError, TypeError, ValueError, GivreError) as error:
            message = f"{path} is not a checkpoint of this version of givre ({error})"
            raise CheckpointError(message) from error
        return fit

    def check_image(self, source: Source) -> None:
        """Raise CheckpointError unless `source` is the image that was fitted."""
        if source.digest != self.digest:
            raise CheckpointError("the checkpoint belongs to another image; give that image")


def _from_checkpoint(header: dict[str, object], tensors: dict[str, Tensor]) -> Fit:
    if header.pop("format") != _FORMAT:
        raise ValueError(f"it must say {_FORMAT}")
    settings = FitSettings(**header.pop("settings"))  # type: ignore[arg-type]
    parts: dict[str, dict[str, Tensor]] = {"parameter": {}, "latent": {}, "state": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    latents = [parts["latent"][str(i)] for i in range(len(parts["latent"]))]
    fit = Fit(
        settings=settings,
        parameters=parts["parameter"],
        latents=latents,
        state=parts["state"],
        **header,  # type: ignore[arg-type]
    )
    _check_shapes(fit)
    return fit


def _check_shapes(fit: Fit) -> None:
    arch = fit.architecture
    expected = {spec.name: spec.shape for spec in tensor_specs(arch)}
    if {name: tuple(p.shape) for name, p in fit.parameters.items()} != expected:
        raise ValueError("its parameters are not those of its architecture")
    sizes = [(grid.height, grid.width) for grid in grids(arch, fit.width, fit.height)]
    if [tuple(latent.shape) for latent in fit.latents] != sizes:
        raise ValueError("its latent grids are not those of its image size")
    if any(latent.dtype != torch.int8 for latent in fit.latents):
        raise ValueError("its latents are not of type int8")
    if any(int(g.min()) < LATENT_MIN or int(g.max()) > LATENT_MAX for g in fit.latents):
        raise ValueError("its latents are out of range")
