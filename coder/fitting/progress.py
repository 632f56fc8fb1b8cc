"""What a long fit tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from givre.coder.psnr import psnr_db
from givre.models.compiled.preparation import Compiling

_INTERVAL_SECONDS = 0.25

COMPILING, FITTING = "compiling", "fitting"
QUANTISING, WRITING = "quantising", "writing"
"""Stages of an encode."""

_PERCENT = 100


@dataclass(frozen=True)
class Following:
    """How long what follows a fit takes, in steps of the fit.

    Attributes:
        quantising: from the fit to integers.
        writing: the file, and its check by the real decoder.
    """

    quantising: float = 0.0
    writing: float = 0.0

    @property
    def steps(self) -> float:
        """All of it."""
        return self.quantising + self.writing


@dataclass(frozen=True)
class Progress:
    """State of a fit after a step, or of what comes before the first one or after the last.

    Attributes:
        step: steps done; kernels that are ready, while they are compiled; after the fit, percent of
            the stage.
        steps: steps in all; kernels to compile; 100.
        bpp: bits per pixel of the best model so far, by the entropy model's estimate.
        psnr_db: its PSNR before the parameters are quantised.
        seconds: time spent, earlier runs of a resumed fit included.
        eta_seconds: estimate of the time left: for this stage and, from the fit on, for all that
            follows.
        stage: FITTING, QUANTISING, WRITING, or COMPILING, which happens once on a machine and whose
            time is not counted as time of the fit; rate and PSNR are 0 then.
    """

    step: int
    steps: int
    bpp: float
    psnr_db: float
    seconds: float
    eta_seconds: float
    stage: str = FITTING

    @property
    def fraction(self) -> float:
        """Part of the stage that is done, 0 to 1."""
        return self.step / max(self.steps, 1)


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
        following: what comes after the last step.
    """

    def __init__(
        self,
        listener: ProgressListener | None,
        earlier_steps: int = 0,
        earlier_seconds: float = 0.0,
        following: Following = Following(),
    ) -> None:
        self.listener, self.following = listener, following
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
                eta_seconds=pace * (steps - step + self.following.steps),
            )
        )


class FinishTeller:
    """Tells a listener how far what follows a fit has come.

    Args:
        listener: whom to tell, if anybody.
        bpp: of the fit.
        psnr_db: of the fit.
        seconds: that the fit took.
        pace: seconds that a step of it took.
        following: what is to be done.
    """

    def __init__(
        self,
        listener: ProgressListener | None,
        bpp: float,
        psnr_db: float,
        seconds: float,
        pace: float,
        following: Following,
    ) -> None:
        self._listener = listener
        self._bpp, self._psnr_db, self._seconds = bpp, psnr_db, seconds
        self._quantising = pace * following.quantising
        self._writing = pace * following.writing
        self._started = perf_counter()

    def quantising(self, share: float) -> None:
        """Tell what share of the quantisation is done, 0 to 1."""
        left = self._quantising * (1 - share) + self._writing
        done = self._quantising * share
        spent = perf_counter() - self._started
        # What has been done tells how fast the rest will be.
        self._tell(QUANTISING, share, left * spent / done if done else left)

    def writing(self, share: float) -> None:
        """Tell what share of the writing is done, 0 to 1."""
        self._tell(WRITING, share, self._writing * (1 - share))

    def _tell(self, stage: str, share: float, left: float) -> None:
        if self._listener is None:
            return
        seconds = self._seconds + perf_counter() - self._started
        step = round(_PERCENT * share)
        state = Progress(step, _PERCENT, self._bpp, self._psnr_db, seconds, left, stage)
        self._listener(state)
