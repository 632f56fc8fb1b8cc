"""Every setting of a fit, once: its name, type, limits, and a line that says what it is.

The arguments of the command line, the checks of values and the choices of the Python functions are
made from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite

from givre.coder.execution import KERNELS, MAX_THREADS
from givre.errors import UsageError
from givre.models.architecture import NAMED_POINTS
from givre.models.filters.initial import INITIAL_KERNELS

EFFORT_STEPS = (25, 60, 125, 250, 500, 1000, 2000, 4000, 10_000, 30_000)
"""Steps of the effort levels 0 to 9."""

DEFAULT_EFFORT = 5
DEFAULT_LMBDA = 1e-3

AUTO_COMPLEXITY = "auto"
"""Leaves the complexity to lambda."""

SIZE, LENGTH = "size", "length"
"""Groups of settings of which one at most may be given."""


@dataclass(frozen=True)
class Setting:
    """One thing that a user may ask of a fit.

    Attributes:
        name: of the argument in Python.
        kind: type of its values.
        help: what it is, for the command line.
        label: what messages call it; empty for the name.
        flags: of the command line, the long one last; empty for `--name`.
        metavar: of its value in the command's help.
        low: smallest value.
        high: largest value.
        above_low: whether the smallest value itself is excluded.
        words: values that it may have, if it is a word.
        group: SIZE or LENGTH, if it excludes others.
        is_target: whether it is what the file shall meet.
    """

    name: str
    kind: type[int] | type[float] | type[str]
    help: str
    label: str = ""
    flags: tuple[str, ...] = ()
    metavar: str = "N"
    low: float = 0
    high: float = inf
    above_low: bool = False
    words: tuple[str, ...] = ()
    group: str = ""
    is_target: bool = False

    @property
    def shown(self) -> str:
        """What messages call it."""
        return self.label or self.name

    def check(self, value: object) -> None:
        """Raise UsageError unless a value is allowed; None always is."""
        if value is None:
            return
        if self.words:
            if value not in self.words:
                allowed = f"one of {', '.join(self.words)}"
                raise UsageError(f"{self.shown} is {value!r}, it must be {allowed}")
        elif self.kind is not str:
            self._check_number(value)

    def _check_number(self, value: object) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or (self.kind is int and value != int(value)):  # type: ignore[call-overload]
            raise UsageError(f"{self.shown} is {value!r}, it must be {self._limits()}")
        number = float(value)  # type: ignore[arg-type]
        in_range = self.low <= number <= self.high and not (self.above_low and number == self.low)
        if not (isfinite(number) and in_range):
            raise UsageError(f"{self.shown} is {value}, it must be {self._limits()}")

    def _limits(self) -> str:
        kind = "a whole number " if self.kind is int else ""
        if self.high == inf:
            return f"{kind}above {self.low:g}" if self.above_low else f"{kind}from {self.low:g}"
        if self.above_low:
            return f"{kind}above {self.low:g} and at most {self.high:g}"
        return f"{kind}{self.low:.0f} to {self.high:.0f}"


_TABLE = (
    Setting(
        "quality",
        float,
        "0 to 100, higher looks better",
        flags=("-q", "--quality"),
        metavar="Q",
        high=100,
        group=SIZE,
    ),
    Setting(
        "lmbda",
        float,
        "weight of the rate: 0.02 gives small files, 0.0001 good ones"
        f" (default: {DEFAULT_LMBDA:g})",
        label="lambda",
        flags=("--lambda",),
        metavar="L",
        high=10,
        above_low=True,
        group=SIZE,
    ),
    Setting(
        "target_bpp",
        float,
        "bits a pixel of the file, within 2 percent",
        label="target bpp",
        metavar="X",
        above_low=True,
        group=SIZE,
        is_target=True,
    ),
    Setting(
        "target_psnr",
        float,
        "quality of the file, within 0.1 dB",
        label="target PSNR",
        metavar="DB",
        above_low=True,
        group=SIZE,
        is_target=True,
    ),
    Setting(
        "target_size",
        int,
        "size that is not exceeded",
        label="target size",
        metavar="BYTES",
        low=1,
        group=SIZE,
        is_target=True,
    ),
    Setting(
        "effort",
        int,
        f"{EFFORT_STEPS[0]} to {EFFORT_STEPS[-1]} steps; more takes longer and compresses better"
        f" (default: {DEFAULT_EFFORT}, {EFFORT_STEPS[DEFAULT_EFFORT]} steps)",
        metavar="0-9",
        high=len(EFFORT_STEPS) - 1,
        group=LENGTH,
    ),
    Setting("steps", int, "number of steps, from 1", low=1, high=10_000_000, group=LENGTH),
    Setting(
        "complexity",
        str,
        "size of the decoder (default: auto, hop for all but the smallest files)",
        words=(AUTO_COMPLEXITY, *NAMED_POINTS),
    ),
    Setting(
        "seed",
        int,
        "same seed, machine and threads: same bytes (default: 0)",
        metavar="S",
        high=(1 << 32) - 1,
    ),
    Setting(
        "ups_init",
        str,
        "interpolation that the upsampling filters start from; a fit that is carried on ignores it"
        " (default: by the filters' size)",
        words=tuple(INITIAL_KERNELS),
    ),
    Setting(
        "prior",
        int,
        "number of the prior that the decoder starts from and is coded against, 0 for none"
        " (default: the one learned at the closest lambda)",
        high=15,
    ),
    Setting("threads", int, "CPU threads, 0 for all cores (default: 0)", high=MAX_THREADS),
    Setting("device", str, "cpu, cuda, ... (default: cpu)", metavar="NAME"),
    Setting(
        "kernels",
        str,
        "what computes: compiled kernels, plain torch and NumPy, or (default) the former where"
        " they run",
        words=KERNELS,
    ),
)

SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _TABLE}
"""All settings by name."""
