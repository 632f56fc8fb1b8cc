"""Each rule of the format has a stream that a decoder rejects if it takes the rule otherwise.

The misreadings are those that a careful reader of docs/FORMAT.md could fall for. Those of networks
and filters are put into the NumPy decoder, and the stream that stands for the rule must then fail
its own checksum. Those of files, masks and tiles are put into docs/minimal_decoder.py, which must
then reject the stream or give other samples.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from minimal import minimal_decoder
from places import CONFORMANCE

from givre.bitstream import header_code, parameter_section, priors
from givre.bitstream.priors import load_prior
from givre.coder.decoder import decode_samples
from givre.errors import CorruptError
from givre.models.architecture import Architecture
from givre.models.context import context_offsets, wavefront_step
from givre.models.exact import numpy_backend, wavefront
from givre.models.exact.numpy_backend import NumpyBackend

Array = np.ndarray

PIXELS = json.loads((CONFORMANCE / "pixels.json").read_text())


@pytest.fixture(autouse=True)
def fresh_priors() -> Iterator[None]:
    """No prior is left over from another reading of it."""
    load_prior.cache_clear()
    yield
    load_prior.cache_clear()


def decode(name: str) -> Array:
    data = (CONFORMANCE / f"{name}.givre").read_bytes()
    return decode_samples(data, threads=1, kernels="reference")


def assert_rejected(name: str) -> None:
    with pytest.raises(CorruptError):
        decode(name)


# --- contexts -----------------------------------------------------------------------------------


WRONG_STEPS = [
    (n_spatial, step)
    for n_spatial in (1, 2, 4, 7, 8, 15, 16, 25, 26, 40)
    for step in (wavefront_step(n_spatial) - 1, wavefront_step(n_spatial) + 1)
    if step > 0
]


@pytest.mark.parametrize(("n_spatial", "step"), WRONG_STEPS)
def test_wave_steps(monkeypatch: pytest.MonkeyPatch, n_spatial: int, step: int) -> None:
    monkeypatch.setattr(wavefront, "wavefront_step", lambda _: step)
    assert_rejected("largest" if n_spatial == 40 else f"neighbours-{n_spatial}")


@pytest.mark.parametrize("place", range(39))
def test_order_of_offsets(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    offsets = list(context_offsets(40))
    offsets[place : place + 2] = offsets[place + 1], offsets[place]
    monkeypatch.setattr(wavefront, "context_offsets", lambda _: offsets)
    assert_rejected("largest")


@pytest.mark.parametrize(("name", "served"), [("levels-2", 0), ("levels-3", 1)])
def test_grids_with_features(monkeypatch: pytest.MonkeyPatch, name: str, served: int) -> None:
    """One grid fewer than min(3, L - 1)."""
    monkeypatch.setattr(Architecture, "n_ifce", property(lambda _: served))
    assert_rejected(name)


# --- parameters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["no-hidden", "no-hidden-no-features"])
def test_order_of_groups(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The order of the named points, whatever tensors there are."""

    def fixed(arch: Architecture) -> tuple[str, ...]:
        first, second, *rest = given(arch)
        assert (first, second) == ("arm.output", "arm.bias")
        return second, first, *rest

    given = parameter_section.group_names
    monkeypatch.setattr(parameter_section, "group_names", fixed)
    assert_rejected(name)


def with_prior(change: Callable[[str, Array, int], Array]) -> Callable[..., Array]:
    """`_for_levels` with changes; `change` gets a tensor's name, prior and extra levels."""
    given = priors._for_levels

    def adapted(spec: Any, base: Any, extra: int) -> Array:
        return change(spec.name, given(spec, base, extra), extra)

    return adapted


LONG_PRIORS = ["prior2-lop-levels-8", "prior3-mop-levels-9", "prior2-hop-levels-8"]


@pytest.mark.parametrize("name", [*LONG_PRIORS, "prior5-hop-levels-10-rgba"])
@pytest.mark.parametrize("place", ["zeros first", "last repeated"])
def test_features_of_a_prior_for_more_levels(
    monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    """Weights of the coarsest inputs are zero and come last."""

    def change(tensor: str, prior: Array, extra: int) -> Array:
        if not (tensor.startswith("ifce") and tensor.endswith("weight")):
            return prior
        if place == "zeros first":
            return np.roll(prior, 2 * extra, axis=1)
        last = prior[:, [-2 * extra - 1]]
        return np.where(np.arange(prior.shape[1]) < prior.shape[1] - 2 * extra, prior, last)

    monkeypatch.setattr(priors, "_for_levels", with_prior(change))
    assert_rejected(name)


@pytest.mark.parametrize("name", [*LONG_PRIORS, "prior1-hop-levels-15-grey"])
def test_filters_of_a_prior_for_more_levels(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Stages keep their number and the finest is repeated, instead of the coarsest."""
    given = priors._for_levels

    def adapted(spec: Any, base: Any, extra: int) -> Array:
        if spec.group.startswith("ups"):
            kind, stage = spec.name.split(".")[1:3]
            return base[f"upsampling.{kind}.{min(5, int(stage))}.weight"]
        return given(spec, base, extra)

    monkeypatch.setattr(priors, "_for_levels", adapted)
    assert_rejected(name)


@pytest.mark.parametrize("name", LONG_PRIORS)
@pytest.mark.parametrize("column", ["first", "zero"])
def test_synthesis_of_a_prior_for_more_levels(
    monkeypatch: pytest.MonkeyPatch, name: str, column: str
) -> None:
    """Columns for the finest level, or zeros, instead of copies of the last column."""

    def change(tensor: str, prior: Array, extra: int) -> Array:
        if tensor not in ("synthesis.hidden.weight", "synthesis.stabiliser.weight"):
            return prior
        n = prior.shape[1] - extra
        if column == "zero":
            return np.where(np.arange(n + extra)[:, None, None] < n, prior, 0)
        return np.concatenate([prior[:, [0] * extra], prior[:, :n]], axis=1)

    monkeypatch.setattr(priors, "_for_levels", with_prior(change))
    assert_rejected(name)


@pytest.mark.parametrize(
    "name", ["prior3-lop-q10", "prior2-mop-q15", "prior4-hop-q3", "prior2-lop-levels-8"]
)
def test_prior_on_the_step_of_the_differences(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """P 2^-q + n 2^-q instead of P 2^-r + n 2^-q; the same where q is r."""
    given = parameter_section.read_groups
    steps: dict[str, int] = {}

    def read(*arguments: Any) -> Any:
        groups = given(*arguments)
        steps.update({group: coded.exponent for group, coded in groups.items()})
        return groups

    def values(prior: priors.Prior, arch: Architecture) -> dict[str, Array]:
        return {
            spec.name: np.ldexp(
                prior.integers.get(spec.name, np.zeros(spec.shape)).astype(float),
                -(steps[spec.group] or prior.exponents.get(spec.group, 0)),
            )
            for spec in parameter_section.tensor_specs(arch)
        }

    monkeypatch.setattr("givre.bitstream.parameters.read_groups", read)
    monkeypatch.setattr(priors.Prior, "values", values)
    if name == "prior3-lop-q10":
        decode(name)
    else:
        assert_rejected(name)


# --- header -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pixels"), [("usual-1000x1000", 1_000_000), ("usual-2000x1500", 3_000_000)]
)
def test_usual_grids_at_a_limit(monkeypatch: pytest.MonkeyPatch, name: str, pixels: int) -> None:
    """The limit itself belongs to the larger pictures."""
    given = header_code.default_grids

    def exclusive(width: int, height: int) -> tuple[int, int]:
        assert width * height == pixels
        return given(width * height - 1, 1)

    monkeypatch.setattr(header_code, "default_grids", exclusive)
    assert_rejected(name)


@pytest.mark.parametrize("name", ["range-code-1", "range-code-2"])
def test_ranges_of_channels(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The first channel's range for all."""
    given = header_code.read_range

    def first(reader: Any, code: int, n_channels: int, bit_depth: int) -> Any:
        low, high = given(reader, code, n_channels, bit_depth)
        return low[:1] * n_channels, high[:1] * n_channels

    monkeypatch.setattr(header_code, "read_range", first)
    assert_rejected(name)


# --- filters ------------------------------------------------------------------------------------


def unrounded_first_pass(one_pass: Callable[..., Array]) -> Callable[..., Array]:
    """A pass that rounds its result only if it is the second one, over the rows."""

    def changed(x: Array, half: Array, axis: int) -> Array:
        if axis == x.ndim - 1:
            return one_pass(x, half, axis)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(numpy_backend, "to_grid", lambda value: value)
            return one_pass(x, half, axis)

    return changed


@pytest.mark.parametrize(
    ("filter_", "name"),
    [
        ("transposed_pass", "neighbours-15"),
        # The first pass has integers for input, which only the clamp of R can change.
        ("preconcat_pass", "extreme-hop-q8"),
    ],
)
def test_both_passes_are_rounded(monkeypatch: pytest.MonkeyPatch, filter_: str, name: str) -> None:
    one_pass = getattr(numpy_backend, filter_)
    monkeypatch.setattr(numpy_backend, filter_, unrounded_first_pass(one_pass))
    assert_rejected(name)


@pytest.mark.parametrize("name", ["neighbours-2", "neighbours-4", "neighbours-8"])
def test_phase_of_the_transposed_filter(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Halves of an odd number of taps: even results take other taps than in filters of 4 or 8."""
    given = numpy_backend.transposed_pass

    def swapped(x: Array, half: Array, axis: int) -> Array:
        assert len(half) % 2 == 1
        found = np.moveaxis(given(x, half, axis), axis, -1)
        pairs = found.reshape(*found.shape[:-1], -1, 2)[..., ::-1]
        return np.moveaxis(pairs.reshape(found.shape), -1, axis)

    monkeypatch.setattr(numpy_backend, "transposed_pass", swapped)
    assert_rejected(name)


# --- roundings ----------------------------------------------------------------------------------


def to_even(value: Array) -> Array:
    return np.rint(value)


def away_from_zero(value: Array) -> Array:
    return np.trunc(value + np.copysign(0.5, value))


@pytest.mark.parametrize("rounded", [to_even, away_from_zero])
def test_halves_of_activations(
    monkeypatch: pytest.MonkeyPatch, rounded: Callable[[Array], Array]
) -> None:
    def to_grid(value: Array) -> Array:
        return np.clip(rounded(value * 2**16) / 2**16, -(2.0**11), 2.0**11)

    monkeypatch.setattr(numpy_backend, "to_grid", to_grid)
    assert_rejected("halves")


class OtherFloor:
    """NumPy, but with another rounding in place of floor(v + 1/2)."""

    def __init__(self, rounded: Callable[[Array], Array]) -> None:
        self._rounded = rounded

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def floor(self, value: Array) -> Array:
        return self._rounded(value - 0.5)


def other_rounding(method: str, rounded: Callable[[Array], Array]) -> Callable[..., Any]:
    """A method of the back end with another rounding; R itself stays as it is."""
    given, to_grid = getattr(NumpyBackend, method), numpy_backend.to_grid

    def exact(value: Array) -> Array:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(numpy_backend, "np", np)
            return to_grid(value)

    def changed(*arguments: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(numpy_backend, "np", OtherFloor(rounded))
            patch.setattr(numpy_backend, "to_grid", exact)
            return given(*arguments)

    return changed


@pytest.mark.parametrize("rounded", [to_even, away_from_zero])
def test_halves_of_means_and_indices(
    monkeypatch: pytest.MonkeyPatch, rounded: Callable[[Array], Array]
) -> None:
    monkeypatch.setattr(NumpyBackend, "arm", other_rounding("arm", rounded))
    assert_rejected("halves")


def test_halves_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = other_rounding("samples_rows", to_even)
    monkeypatch.setattr(NumpyBackend, "samples_rows", changed)
    assert_rejected("half-samples")


# --- files, masks and tiles ---------------------------------------------------------------------


def assert_misread(name: str, changes: dict[str, str]) -> None:
    """With these changes the minimal decoder rejects a stream or gives other samples."""
    decoder = minimal_decoder(changes)
    try:
        samples, _ = decoder.decode((CONFORMANCE / f"{name}.givre").read_bytes())
    except ValueError as error:
        if not re.search("damaged|match|cut short|too large", str(error)):
            raise
        return
    assert sha256(samples.tobytes()).hexdigest() != PIXELS[name]["sha256"]


DEPTH = "    depth = r.number(1) if pixel_format & 4 else 8\n"
TILING = "    tiling = r.number(1) if flags & 64 else 0\n"
SIDES = "    columns, rows = (64 * (r.varint() + 1) if flags & 64 else side "
SIDES += "for side in (width, height))\n"
GRIDS = "    n_hyper, n_main = divmod(r.number(1), 16) if flags & 8 else (n_main - 4, n_main)\n"
SIZE_CHECK = "    allowed = all("
OUTPUTS = '    outputs = channels - (alpha == "mask")\n'
LENGTHS = "            lengths = "
LENGTHS += '0 if shares else r.varint(), r.varint(), 0 if alpha == "none" else r.varint()\n'
TILE = "            tiles.append(Tile(*place, low, high, *lengths, r.number(4)))\n"
PIXEL_COUNT = "    pixels = min(columns, width) * min(rows, height)\n"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        pytest.param("every-field", {DEPTH: "", PIXEL_COUNT: DEPTH + PIXEL_COUNT}, id="depth late"),
        pytest.param(
            "every-field",
            {
                TILING: TILING + "    given_grids = r.number(1)\n",
                "divmod(r.number(1), 16)": "divmod(given_grids, 16)",
            },
            id="grids before the sides",
        ),
        pytest.param(
            "every-field",
            {
                OUTPUTS: OUTPUTS + "    shared_bytes = r.varint()\n",
                GRIDS: "",
                SIZE_CHECK: GRIDS + SIZE_CHECK,
                "    shared_bytes, tiles = r.varint() if shares else 0, []": "    tiles = []",
            },
            id="shared_parameter_bytes before grids",
        ),
        pytest.param(
            "every-field",
            {
                LENGTHS: "",
                TILE: "            crc = r.number(4)\n"
                + LENGTHS
                + TILE.replace("r.number(4)", "crc"),
            },
            id="pixel_crc before the lengths",
        ),
        pytest.param(
            "tiles-alpha",
            {LENGTHS: "            mask = r.varint()\n            lengths = 0, r.varint(), mask\n"},
            id="mask_bytes before latent_bytes",
        ),
        pytest.param(
            "every-field",
            {
                "            low, high = read_range(r, d, flags >> 4 & 3)\n": "",
                TILE: "            low, high = read_range(r, d, flags >> 4 & 3)\n" + TILE,
            },
            id="range after the lengths",
        ),
        pytest.param(
            "tiles-wide",
            {
                SIDES: SIDES.replace("columns, rows", "rows, columns").replace(
                    "width, height", "height, width"
                )
            },
            id="rows of a tile before its columns",
        ),
        pytest.param("depth-12-range-code-2", {"1 if d.B == 8 else 2": "1"}, id="range of bytes"),
        pytest.param(
            "depth-16-range-code-1",
            {"largest - (byte >> 4)": "255 - (byte >> 4)"},
            id="margins from 255",
        ),
        pytest.param(
            "depth-9-range-code-0",
            {"largest, size = 2**d.B - 1": "largest, size = 2 ** (8 if d.B == 8 else 16) - 1"},
            id="whole range of 16 bits",
        ),
        *(
            pytest.param(
                name, {'samples.astype("u1" if d.B == 8 else "<u2")': change}, id=f"{kind} {name}"
            )
            for name in ("depth-9-range-code-0", "depth-16-range-code-0")
            for kind, change in (
                ("big-endian", 'samples.astype(">u2")'),
                ("four bytes a sample", 'samples.astype("<u4")'),
            )
        ),
    ],
)
def test_fields_of_the_header(name: str, changes: dict[str, str]) -> None:
    assert_misread(name, changes)


PARTS = "    parts = [[r.take(n) for n in (t.parameters, t.latents, t.mask)] for t in tiles]\n"
SECTION = "        _, length, checksum = r.number(1), r.varint(), r.number(4)\n"
SECTION_CHECK = "        if zlib.crc32(r.take(length)) != checksum:\n"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *(
            pytest.param(
                name,
                {
                    PARTS: "    parts = list(zip(*([r.take(getattr(t, part)) for t in tiles] "
                    "for part in ('parameters', 'latents', 'mask'))))\n"
                },
                id=f"sections of a sort together {name}",
            )
            for name in ("tiles", "tiles-alpha")
        ),
        pytest.param(
            "tiles-alpha",
            {"(t.parameters, t.latents, t.mask)] for": "(t.parameters, t.mask, t.latents)] for",
             "(parameters, latents, mask) in zip": "(parameters, mask, latents) in zip"},
            id="mask before latents",
        ),
        pytest.param(
            "metadata",
            {SECTION: "        _, checksum, length = r.number(1), r.number(4), r.varint()\n"},
            id="checksum before length",
        ),
        pytest.param(
            "metadata",
            {SECTION: SECTION.replace("_, ", "kind, "),
             SECTION_CHECK: "        content = r.take(length)\n"
             "        content = zlib.decompress(content) if kind & 128 else content\n"
             "        if zlib.crc32(content) != checksum:\n"},
            id="checksum of uncompressed content",
        ),
        pytest.param(
            "metadata",
            {SECTION: SECTION.replace("_, ", "kind, "),
             SECTION_CHECK: SECTION_CHECK.replace("checksum", "checksum or kind & 127 > 4")},
            id="unknown kinds are rejected",
        ),
    ],
)  # fmt: skip
def test_sections_of_the_file(name: str, changes: dict[str, str]) -> None:
    assert_misread(name, changes)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        pytest.param(
            "tiles-no-overlap",
            {"    for y, h, down in spans(height, rows, overlap):\n"
             "        for x, w, across in spans(width, columns, overlap):\n":
             "    for x, w, across in spans(width, columns, overlap):\n"
             "        for y, h, down in spans(height, rows, overlap):\n"},
            id="column by column",
        ),
        pytest.param(
            "tiles-usual-3904x300",
            {PIXEL_COUNT: "    pixels = width * height\n"},
            id="usual grids of the picture",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "tiles-usual-3904x300",
            {PIXEL_COUNT: "    pixels = min(columns + 8, width) * min(rows + 8, height)\n"},
            id="usual grids of a tile with what it overlaps",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "tiles-wide",
            {PIXEL_COUNT: "    pixels = columns * rows\n"},
            id="usual grids of a whole tile",
        ),
        pytest.param("tiles", {"(sums + 512) // 1024": "sums // 1024"}, id="no rounding"),
        pytest.param(
            "tiles", {"(sums + 512) // 1024": "np.rint(sums / 1024)"}, id="halves to the even one"
        ),
        pytest.param(
            "tiles",
            {"2 * (places - a) + 17": "2 * (places - a) + 16",
             "15 - 2 * (places - b)": "16 - 2 * (places - b)"},
            id="weights from 0 to 30 and from 32 to 2",
        ),
        pytest.param(
            "tiles",
            {"2 * (places - a) + 17": "np.where(places < a, 0, 32)",
             "15 - 2 * (places - b)": "np.where(places < b, 32, 0)"},
            id="overlaps are cut off",
        ),
        pytest.param(
            "tiles",
            {"2 * (places - a) + 17": "np.where(places < a + 8, 16, 32)",
             "15 - 2 * (places - b)": "np.where(places < b - 8, 32, 16)"},
            id="the mean of the tiles",
        ),
        pytest.param(
            "tiles-narrow",
            {"        b = a + side\n": "        b = min(a + side, length - 8 * (a > 0))\n"},
            id="a narrow last tile is faded out",
        ),
        pytest.param(
            "tiles-no-overlap",
            {"4 * (tiling & 2)": "8"},
            id="tiles always overlap",
        ),
        pytest.param(
            "tiles-alpha",
            {"tile.weights * samples\n": "tile.weights * samples * (samples[:, :, 3:] > 0)\n"},
            id="transparent pixels do not count",
        ),
    ],
)  # fmt: skip
def test_tiles(name: str, changes: dict[str, str]) -> None:
    assert_misread(name, changes)


MASKS = ["alpha-mask-3-outputs-8-bits", "alpha-mask-1-outputs-16-bits"]
SOFT_MASKS = ["alpha-soft-4-outputs-8-bits", "alpha-soft-2-outputs-10-bits"]
WAVES = "    for y, x in waves(tile.H, tile.W, 2):\n"
COUNTS = "    end_counts, opaque_counts = np.ones((2, 2, 3**6), int)\n"
BOTH = """        if d.alpha == "soft":
            ends = decisions(message, end_counts, patterns) == 1
        if ends.any():
            opaque = decisions(message, opaque_counts, patterns[ends])
            padded[2 + y[ends], 2 + x[ends]] = 1 + opaque
"""
ALTERNATELY = """        end_before, opaque_before = end_counts.copy(), opaque_counts.copy()
        for row, column, pattern in zip(y, x, patterns):
            of_end, of_opaque = end_before.copy(), opaque_before.copy()
            if decisions(message, of_end, np.array([pattern]))[0]:
                opaque = decisions(message, of_opaque, np.array([pattern]))
                padded[2 + row, 2 + column] = 1 + opaque[0]
            end_counts += of_end - end_before
            opaque_counts += of_opaque - opaque_before
"""


@pytest.mark.parametrize("name", MASKS + SOFT_MASKS)
@pytest.mark.parametrize("place", range(6))
def test_neighbours_of_a_mask(name: str, place: int) -> None:
    """The seventh offset in the place of one of the six."""
    others = f"OFFSETS[:{place}] + OFFSETS[{place + 1}:7]"
    assert_misread(name, {"in OFFSETS[:6]]\n": f"in {others}]\n"})


@pytest.mark.parametrize("name", MASKS + SOFT_MASKS)
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {COUNTS: COUNTS + "    padded[:2] = padded[:, :2] = padded[:, -2:] = 1\n"},
            id="outside is transparent",
        ),
        pytest.param({WAVES: WAVES.replace("2)", "3)")}, id="wave step 3"),
        pytest.param(
            {WAVES: "    for y, x in ([[r], [c]] for r in range(tile.H) for c in range(tile.W)):\n"
             "        y, x = np.array(y), np.array(x)\n"},
            id="row by row",
        ),
        pytest.param(
            {WAVES: "    pixels = (place for w in waves(tile.H, tile.W, 2) for place in zip(*w))\n"
             "    for y, x in pixels:\n        y, x = np.array([y]), np.array([x])\n"},
            id="counted at once",
        ),
        pytest.param(
            {WAVES: WAVES + "        y, x = y[::-1], x[::-1]\n"},
            id="from the bottom row up",
        ),
        pytest.param({"(outcomes, patterns), 2)": "(outcomes, patterns), 1)"}, id="counts of 1"),
        pytest.param({"np.ones((2, 2, 3**6), int)": "np.full((2, 2, 3**6), 2)"}, id="from 2 on"),
        pytest.param({"zeros, skew, -skew) / 4": "zeros, skew, -skew) / 2"}, id="skew / 2"),
        pytest.param(
            {"> share).sum": "> share / 2).sum"}, id="shares of 2^25"
        ),
        pytest.param({"] = 1 + opaque\n": "] = 2 - opaque\n"}, id="1 is transparent"),
    ],
)  # fmt: skip
def test_masks(name: str, changes: dict[str, str]) -> None:
    assert_misread(name, changes)


@pytest.mark.parametrize("name", SOFT_MASKS)
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({BOTH: ALTERNATELY}, id="both decisions of a pixel one after the other"),
        pytest.param({"patterns) == 1\n": "patterns) == 0\n"}, id="1 is in between"),
        pytest.param(
            {COUNTS: COUNTS + "    opaque_counts = end_counts\n"}, id="the same counts for both"
        ),
        pytest.param(
            {"samples = np.concatenate([colours, alpha":
             "samples = np.concatenate([colours * (classes != 1)[:, :, None], alpha"},
            id="transparent is black",
        ),
    ],
)  # fmt: skip
def test_soft_alpha(name: str, changes: dict[str, str]) -> None:
    assert_misread(name, changes)


@pytest.mark.parametrize("other", [".clip(0, largest - 1)", ".clip(1, largest)"])
def test_alpha_in_between(other: str) -> None:
    assert_misread("range-0-255-mop-26x19x2", {".clip(1, largest - 1)": other})


@pytest.mark.parametrize(
    "changes",
    [
        {"counts.sum(axis=0) > 2**14": "counts.sum(axis=0) >= 2**14"},
        {"counts.sum(axis=0) > 2**14": "counts.max(axis=0) > 2**14"},
        {"counts.sum(axis=0) > 2**14": "counts.sum(axis=0) > 2**15"},
        {"counts[:, large] + 1) >> 1": "counts[:, large]) >> 1"},
    ],
)
def test_halving_of_counts(changes: dict[str, str]) -> None:
    assert_misread("mask-counts-halved", changes)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *(
            pytest.param(name, {"prior = prior[1:2]": other}, id=f"{kind} {name}")
            for name in ("prior3-hop-grey", "prior4-lop-two-channels")
            for kind, other in (
                ("red", "prior = prior[0:1]"),
                ("zeros", "prior = 0 * prior[1:2]"),
                ("mean", "prior = np.rint(prior.mean(axis=0, keepdims=True))"),
            )
        ),
        *(
            pytest.param(
                name,
                {"prior.sum(axis=1, keepdims=True) if": "prior[:, 1:2] if"},
                id=f"column {name}",
            )
            for name in ("prior3-hop-grey", "prior4-lop-two-channels")
        ),
        *(
            pytest.param(name, {"pads = [(0, 1), (0, int(square))": other}, id=f"{kind} {name}")
            for name in ("prior4-lop-two-channels", "prior5-hop-levels-10-rgba")
            for kind, other in (
                ("alpha first", "pads = [(1, 0), (int(square), 0)"),
                ("alpha before in columns", "pads = [(0, 1), (int(square), 0)"),
            )
        ),
        *(
            pytest.param(
                name,
                {"np.pad(prior, pads[: prior.ndim])": 'np.pad(prior, pads[: prior.ndim], "edge")'},
                id=f"alpha as the last colour {name}",
            )
            for name in ("prior4-lop-two-channels", "prior5-hop-levels-10-rgba")
        ),
    ],
)
def test_priors_for_other_outputs(name: str, changes: dict[str, str]) -> None:
    assert_misread(name, changes)


# --- the unchanged decoder ----------------------------------------------------------------------


def test_the_means_of_a_misreading_change_nothing_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def half_up(value: Array) -> Array:
        return np.floor(value + 0.5)

    for method in ("arm", "samples_rows"):
        monkeypatch.setattr(NumpyBackend, method, other_rounding(method, half_up))
    monkeypatch.setattr(priors, "_for_levels", with_prior(lambda _, prior, __: prior))
    for name in ("halves", "half-samples", "prior2-lop-levels-8"):
        assert decode(name).size


def test_the_minimal_decoder_without_a_change_takes_the_streams() -> None:
    for name in ("every-field", "tiles-alpha", "metadata", "mask-counts-halved", "prior3-hop-grey"):
        samples, _ = minimal_decoder().decode((CONFORMANCE / f"{name}.givre").read_bytes())
        assert sha256(samples.tobytes()).hexdigest() == PIXELS[name]["sha256"]
