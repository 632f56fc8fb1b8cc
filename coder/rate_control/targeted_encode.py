"""Encoding to a size, a rate or a quality: a fit whose lambda is steered, then corrections.

While the networks are fitted, lambda is adjusted a few times. Then the parameters are quantised,
once, and a first file is written. If it is off, the latents alone go back to an earlier step and
are fitted again, to the quantised decoder and with another lambda, until the file is right. That
costs a part of the steps and no rate: the latents follow the end of the schedule as before.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from math import isfinite, log, sqrt

from torch import Tensor

from givre.bitstream.parameters import QuantisedParameters
from givre.coder.encoder import write_fit
from givre.coder.exact_backends import compiling_meanwhile
from givre.coder.files.picture import Picture
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.context import FitContext, changed, on_cpu, picture_context
from givre.coder.fitting.evaluation import Evaluation
from givre.coder.fitting.overfit import prepare_kernels
from givre.coder.fitting.progress import FinishTeller, ProgressListener, ProgressTeller
from givre.coder.fitting.schedule import Recipe, plan_step
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.starting_point import choose_start
from givre.coder.fitting.torch_context import torch_as_shipped, torch_threads
from givre.coder.fitting.trainer import Trainer
from givre.coder.psnr import psnr_db
from givre.coder.quantisation.rounds import move_latents, quantise_fit
from givre.coder.quantisation.spending import following
from givre.coder.rate_control.correction import CHECKS, REWINDS, Search, Steering, at_limit
from givre.coder.rate_control.goal import Goal
from givre.coder.rate_control.outcome import best, filled, meets, out_of_reach
from givre.coder.rate_control.starting_lmbda import other_bits, starting_lmbda
from givre.coder.report import Encoded, check_collapse
from givre.errors import CollapseError, TargetError

_log = logging.getLogger(__name__)

_MOST_CORRECTIONS = 10
_MOST_FITS = 2

_ANOTHER_START = 0.5
"""Least change of log(lambda) for which the networks are fitted again from the start."""

_EXTRA_SHARE = 0.4
"""Steps of the corrections, relative to those of the fit, within which all is done as a rule."""

_QUANTISING_PIXELS = 4_000_000
"""Pixels times steps that take a fraction of the time that quantising takes; the corrections may
have as many again."""

_OUT_OF_BUDGET_SHARE = 0.5
"""Share of the schedule that a correction may repeat when it is late already."""

_NEARLY_FILLED = 0.975
"""Part of a size that will do when corrections are late already."""

_REQUANTISE_CHANGE = 1.2
"""Change of log(lambda) from which the parameters are quantised anew. Their bits then change by as
much as a correction does, so it is not for small ones."""

_PARAMETERS_KNOWN = 0.5
"""Share of the schedule from which the parameters' bits can be told from their rate."""

STEERED = Recipe(rate_start=1.0)
"""The recipe of a fit to a target: its rate must tell all along what the file's will be."""


@dataclass(frozen=True)
class _Offsets:
    """What is added to an estimate with rounded latents to get to the file.

    Attributes:
        bits: everything in the file but the estimated bits of the latents.
        psnr_db: real less estimated quality.
    """

    bits: float
    psnr_db: float = 0.0


@torch_as_shipped()
def encode_to_goal(
    picture: Picture,
    settings: FitSettings,
    goal: Goal,
    *,
    recipe: Recipe = STEERED,
    on_progress: ProgressListener | None = None,
) -> Encoded:
    """Fit an image so that its file meets a goal.

    Args:
        picture: samples, their depth and metadata.
        settings: everything but lambda, which is found.
        goal: what the file shall meet; see `Goal.admits`.
        recipe: constants of the schedule.
        on_progress: called a few times a second.

    Returns:
        A file that the goal admits, with the lambda of the latents' last pass in its report.
        Deterministic as a fit is.

    Raises:
        TargetError: no such file was found.
        ImageError: the samples are of a kind that the codec does not take.
        UsageError: the device does not exist, or the kernels do not run on it.
        CollapseError: the fit diverged, or the file for a rate or a size is no better than a
            constant image although its lambda would allow more.
    """
    context, asked = picture_context(picture, settings), settings.prior
    with torch_threads(context.kernels.torch_threads), compiling_meanwhile(context.kernels.exact):
        prepare_kernels(context, on_progress)
        lmbda = starting_lmbda(context, asked, goal)
        earlier: list[Encoded] = []
        for _ in range(_MOST_FITS):
            nearest = changed(context, replace(settings, lmbda=lmbda))
            chosen = choose_start(nearest, asked)
            _log.info("begins with lambda %.6f", lmbda)
            pursuit = _Pursuit(chosen, goal, recipe, on_progress, earlier)
            found = pursuit.go()
            if found is not None:
                if not goal.is_quality:  # a PSNR that was asked for is right, however low
                    check_collapse(found.report, context.source)
                return found
            # The image is unlike photographs, and its networks were fitted for another rate.
            before, lmbda = lmbda, pursuit.between()
            if abs(log(lmbda / before)) < _ANOTHER_START:
                break
        raise TargetError(out_of_reach(goal, settings.steps, earlier))


class _Pursuit:
    """One fit and its corrections."""

    def __init__(
        self,
        context: FitContext,
        goal: Goal,
        recipe: Recipe,
        on_progress: ProgressListener | None,
        found: list[Encoded],
    ) -> None:
        self._found = found
        self._earlier_steps = found[-1].report.steps if found else 0
        earlier_seconds = found[-1].report.seconds if found else 0.0
        self._listener = on_progress
        self._following = following(context.settings.steps, context.pixels)
        self._teller = ProgressTeller(
            on_progress, self._earlier_steps, earlier_seconds, self._following
        )
        self._context, self._on_cpu = context, on_cpu(context)
        self._trainer = Trainer(context, recipe)
        self._goal, self._recipe = goal, recipe
        self._pixels, self._steps = context.pixels, context.settings.steps
        self._steering = Steering(goal, self._steps)
        self._offsets = _Offsets(other_bits(goal, context))
        self._states: dict[float, dict[str, Tensor]] = {}
        self._done = 0
        self._planned = self._steps
        self._latest: Evaluation | None = None
        self._quantised_at = context.settings.lmbda

    def go(self) -> Encoded | None:
        """Fit, write, correct; None when the goal was not reached."""
        self._pass(0)
        networks = self._trainer.parameters()
        quantised = self._quantise(networks)
        excess = self._write(networks, quantised)
        search = Search(self._goal)
        for _ in range(_MOST_CORRECTIONS):
            lmbda, affordable = self._trainer.lmbda, self._affordable()
            if meets(self._goal, self._found[-1]) or at_limit(lmbda, excess) or not self._states:
                break
            if affordable < 1 - max(self._states):
                if self._goal.kind == "size" and filled(self._goal, self._found) >= _NEARLY_FILLED:
                    break  # it keeps its promise, filling it better would take longer
                affordable = _OUT_OF_BUDGET_SHARE
            back = search.next(lmbda, excess, affordable, list(self._states))
            _log.info("excess %.4f: back to %g, lambda %.6f", excess, back.share, back.lmbda)
            self._trainer.load_latent_state(self._states[back.share])
            self._trainer.lmbda = back.lmbda
            self._pass(self._step_at(back.share), latents_only=True)
            if abs(log(back.lmbda / self._quantised_at)) > _REQUANTISE_CHANGE:
                quantised = self._quantise(networks)
            before, excess = excess, self._write(networks, quantised)
            search.learn(lmbda, before, back, excess)
        return best(self._goal, self._found)

    def between(self) -> float:
        """Lambda between that of the networks' fit and the last one of the latents alone."""
        return sqrt(self._quantised_at * self._trainer.lmbda)

    def _pass(self, first: int, *, latents_only: bool = False) -> None:
        """Do the steps of the schedule from `first` on, steering lambda if the networks move."""
        checks = {self._step_at(share) for share in CHECKS} if not latents_only else set()
        returns = {self._step_at(share): share for share in REWINDS}
        self._planned = self._done + self._steps - first
        for step in range(first, self._steps):
            if step > first and step in returns:
                self._states[returns[step]] = self._trainer.latent_state()
            if step and step in checks:
                self._steer(step)
            plan = plan_step(self._recipe, step, self._steps)
            more = step + 1 < self._steps
            upcoming = plan_step(self._recipe, step + 1, self._steps) if more else None
            self._trainer.step(step, plan, upcoming, latents_only=latents_only)
            self._done += 1
            if self._latest is not None:
                done, planned = (self._earlier_steps + n for n in (self._done, self._planned))
                mse = self._latest.mse / self._context.source.seen
                self._teller.tell(done, planned, self._latest.bpp, mse)

    def _steer(self, step: int) -> None:
        found = self._evaluate()
        before, share = self._trainer.lmbda, step / self._steps
        parameter_bits = self._trainer.parameter_bits()
        if share >= _PARAMETERS_KNOWN and parameter_bits is not None:
            other = other_bits(self._goal, self._context, parameter_bits)
            self._offsets = _Offsets(other)
        self._trainer.lmbda = self._steering.next(before, self._excess(found), share, found.bpp)
        _log.debug(
            "step %d: %.4f bpp of latents, %.2f dB: lambda %.6f -> %.6f",
            *(step, found.bpp, self._quality(found), before, self._trainer.lmbda),
        )

    def _quantise(self, networks: dict[str, Tensor]) -> QuantisedParameters:
        """Quantise the parameters for the present latents, and go on with the result."""
        fit = self._fit(networks, self._evaluate())
        quantised = quantise_fit(fit, self._on_cpu, self._finishing(fit).quantising)
        self._quantised_at = self._trainer.lmbda
        self._trainer.set_networks(quantised.values(fit.architecture))
        return quantised

    def _write(self, networks: dict[str, Tensor], quantised: QuantisedParameters) -> float:
        """Write the file of the present latents and return its excess."""
        found = self._evaluate()
        values = quantised.values(self._trainer.model.arch)
        fit = move_latents(self._fit(networks, found), values, self._on_cpu)
        self._finishing(fit).writing(0)
        encoded = write_fit(fit, self._on_cpu, quantised)
        report = replace(encoded.report, seconds=self._teller.seconds())
        self._found.append(replace(encoded, report=report))
        self._offsets = _Offsets(
            8 * report.bytes - found.bpp * self._pixels, report.psnr_db - self._quality(found)
        )
        _log.info(
            "lambda %.6f: %d bytes, %.4f bpp, %.3f dB",
            *(report.lmbda, report.bytes, report.bpp, report.psnr_db),
        )
        return self._excess(found)

    def _finishing(self, fit: Fit) -> FinishTeller:
        """Tells what is done between two passes through the schedule."""
        pace = fit.seconds / max(fit.steps, 1)
        return FinishTeller(
            self._listener, fit.bpp, fit.psnr_db, fit.seconds, pace, self._following
        )

    def _fit(self, networks: dict[str, Tensor], found: Evaluation) -> Fit:
        source = self._context.source
        height, width, channels = source.samples.shape
        return Fit(
            settings=replace(self._context.settings, lmbda=self._trainer.lmbda),
            width=width,
            height=height,
            channels=channels,
            digest=source.digest,
            parameters={name: p.cpu() for name, p in networks.items()},
            latents=self._trainer.symbols(),
            bpp=found.bpp,
            psnr_db=self._quality(found),
            steps=self._earlier_steps + self._done,
            seconds=self._teller.seconds(),
        )

    def _evaluate(self) -> Evaluation:
        """Judge with rounded latents. Raises CollapseError when the fit has diverged."""
        self._latest = self._trainer.evaluate()
        if not isfinite(self._latest.loss):
            raise CollapseError("the fit diverged; try another seed, or lop instead of hop")
        return self._latest

    def _quality(self, found: Evaluation) -> float:
        """PSNR in dB of what is seen."""
        return psnr_db(found.mse / self._context.source.seen)

    def _excess(self, found: Evaluation) -> float:
        quality = self._quality(found) + self._offsets.psnr_db
        bits = found.bpp * self._pixels
        return self._goal.excess(bits, self._offsets.bits, quality, self._pixels)

    def _affordable(self) -> float:
        """Share of the schedule that corrections may still repeat, below 0 if they are late."""
        budget = _EXTRA_SHARE * self._steps + min(100.0, _QUANTISING_PIXELS / self._pixels)
        return (budget - (self._done - self._steps)) / self._steps

    def _step_at(self, share: float) -> int:
        return int(share * self._steps)
