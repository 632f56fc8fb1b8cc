"""Everything about a fit that stays the same while it goes on, made once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from givre.bitstream.metadata_sections import metadata_sections
from givre.bitstream.priors import Prior
from givre.bitstream.sections import Section
from givre.coder.execution import resolve_threads
from givre.coder.files.picture import Picture
from givre.coder.fitting.fit_kernels import FitKernels, choose_kernels
from givre.coder.fitting.normalisation import Target, make_target
from givre.coder.fitting.prior_choice import prior_for
from givre.coder.fitting.screen_content import comparable_lmbda
from givre.coder.fitting.settings import FitSettings, architecture_for
from givre.coder.fitting.source import Source, source_of
from givre.errors import UsageError
from givre.models.architecture import Architecture


@dataclass(frozen=True)
class FitContext:
    """An image and what it is fitted with.

    Attributes:
        source: the image.
        target: the same as a fit wants it, on the device of the fit.
        settings: what was asked for; `settings.prior` is the number of `prior`.
        architecture: of the decoder.
        prior: what the decoder starts from and is coded against.
        kernels: what computes.
        sections: what follows the pixels in the file.
    """

    source: Source
    target: Target
    settings: FitSettings
    architecture: Architecture
    prior: Prior
    kernels: FitKernels
    sections: tuple[Section, ...] = ()

    @property
    def pixels(self) -> int:
        """Pixels of the image."""
        width, height = self.size
        return width * height

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image, in pixels."""
        return self.source.samples.shape[1], self.source.samples.shape[0]


def fit_context(
    source: Source, settings: FitSettings, sections: tuple[Section, ...] = ()
) -> FitContext:
    """The context of a fit from the prior asked for, or else from the one nearest in lambda.

    Args:
        source: the image.
        settings: what was asked for.
        sections: what follows the pixels in the file.

    Raises:
        UsageError: the device, the prior or the kernels do not exist, or the kernels do not run on
            the device.
    """
    target = make_target(source).to(_device(settings.device))
    device, threads = target.normalised.device, resolve_threads(settings.threads)
    kernels = choose_kernels(settings.kernels, device, threads)
    height, width, channels = source.samples.shape
    arch = architecture_for(settings, width, height, channels)
    prior = _prior(source, settings, arch)
    # A later version may choose another one; this fit is coded against this one for good.
    settings = replace(settings, prior=prior.number)
    return FitContext(source, target, settings, arch, prior, kernels, sections)


def picture_context(picture: Picture, settings: FitSettings) -> FitContext:
    """The context of a fit of a picture whose file gets its metadata.

    Raises:
        ImageError: the samples are of a kind that the codec does not take.
        UsageError: for the reasons that `fit_context` names, or metadata are too large for a file.
    """
    return fit_context(source_of(picture), settings, metadata_sections(picture.metadata))


def changed(context: FitContext, settings: FitSettings) -> FitContext:
    """The same with another lambda or another prior; None asks for the nearest one again."""
    prior = _prior(context.source, settings, context.architecture)
    settings = replace(settings, prior=prior.number)
    return replace(context, settings=settings, prior=prior)


def on_cpu(context: FitContext) -> FitContext:
    """The same on the CPU, where what follows a fit is done."""
    if context.target.normalised.device.type == "cpu":
        return context
    cpu, threads = torch.device("cpu"), resolve_threads(context.settings.threads)
    kernels = choose_kernels(context.settings.kernels, cpu, threads)
    return replace(context, target=context.target.to(cpu), kernels=kernels)


def _prior(source: Source, settings: FitSettings, arch: Architecture) -> Prior:
    height, width, _ = source.samples.shape
    like = replace(settings, lmbda=comparable_lmbda(source, settings.lmbda))
    return prior_for(like, arch, height * width)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device {name!r} cannot be used ({reason}); try cpu") from error
    return device
