"""What a long fit tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from givre.coder.psnr import psnr_db
from givre.models.compiled.preparation import Compiling

_INTERVAL_SECONDS = 0.25

COMPILING, FITTING = "compiling", "fitting"
"""Stages of an encode."""


@dataclass(frozen=True)
class Progress:
    """State of a fit after a step, or of what comes before the first one.

    Attributes:
        step: steps done; while kernels are compiled, kernels that are ready.
        steps: steps in all; while kernels are compiled, kernels to compile.
        bpp: bits per pixel of the best model so far, by the entropy model's estimate.
        psnr_db: its PSNR before the parameters are quantised.
        seconds: time spent, earlier runs of a resumed fit included.
        eta_seconds: estimate of the time left for this stage.
        stage: FITTING, or COMPILING, which happens once on a machine and whose time is not counted
            as time of the fit; rate and PSNR are 0 then.
    """

    step: int
    steps: int
    bpp: float
    psnr_db: float
    seconds: float
    eta_seconds: float
    stage: str = FITTING


ProgressListener = Callable[[Progress], None]


class CompilingTeller:
    """Tells a listener how far the compiling of kernels has come.

    Args:
        listener: whom to tell, if anybody.
    """

    def __init__(self, listener: ProgressListener | None) -> None:
        self._listener = listener
        self._started = perf_counter()

    def tell(self, state: Compiling) -> None:
        """Tell the listener."""
        if self._listener is None:
            return
        seconds = perf_counter() - self._started
        left = seconds / max(state.done, 1) * (state.total - state.done)
        self._listener(Progress(state.done, state.total, 0.0, 0.0, seconds, left, COMPILING))


class ProgressTeller:
    """Keeps the time of a fit, and tells a listener a few times a second how far it is.

    Args:
        listener: whom to tell, if anybody.
        earlier_steps: that the fit had done when its clock starts here.
        earlier_seconds: that these took.
    """

    def __init__(
        self,
        listener: ProgressListener | None,
        earlier_steps: int = 0,
        earlier_seconds: float = 0.0,
    ) -> None:
        self.listener = listener
        self._earlier_steps, self._earlier_seconds = earlier_steps, earlier_seconds
        self._started = self._told = perf_counter()

    def seconds(self) -> float:
        """Time spent so far, the earlier one included."""
        return self._earlier_seconds + perf_counter() - self._started

    def tell(self, step: int, steps: int, bpp: float, mse: float) -> None:
        """Tell the listener, if it is time or the last step is done.

        Args:
            step: steps done, the earlier ones included.
            steps: steps in all, at least `step`.
            bpp: estimated bits per pixel.
            mse: relative mean squared error, 0 to 1.
        """
        now = perf_counter()
        if self.listener is None or (now - self._told <= _INTERVAL_SECONDS and step < steps):
            return
        self._told = now
        pace = (now - self._started) / max(step - self._earlier_steps, 1)
        self.listener(
            Progress(
                step=step,
                steps=steps,
                bpp=bpp,
                psnr_db=psnr_db(mse),
                seconds=self.seconds(),
                eta_seconds=pace * (steps - step),
            )
        )
