"""The optimiser's compiled step against the one in torch, and what its state must survive."""

from __future__ import annotations

from math import inf

import pytest
import torch
from torch import Tensor

from givre.coder.fitting.fused_kernels import FusedSoap
from givre.coder.fitting.soap import Soap, SoapSettings
from givre.models.architecture import NAMED_POINTS, tensor_specs

SHAPES = [spec.shape for spec in tensor_specs(NAMED_POINTS["mop"])]


def tensors(shapes: list[tuple[int, ...]], scale: float, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(shape, generator=generator) for shape in shapes]


def run(soap: Soap, parameters: list[Tensor], steps: range, clip: float = inf) -> None:
    """Steps with gradients that depend on the step alone, so that rounding cannot spread."""
    for step in steps:
        gradients = tensors([tuple(p.shape) for p in parameters], 0.1, 100 + step)
        for i, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            parameter.grad = gradient * (1 + i % 3)
        soap.step(0.01, clip)


def fresh(shapes: list[tuple[int, ...]] = SHAPES) -> list[Tensor]:
    return [p.requires_grad_() for p in tensors(shapes, 1.0, 0)]


@pytest.mark.parametrize("clip", [inf, 0.5])
@pytest.mark.parametrize(
    "shapes",
    [SHAPES, [(4, 3)], [(5,), (1, 7), (7, 1), (3, 300), (3, 2, 2, 2)], [(6,)]],
    ids=["mop", "one matrix", "sides without a basis", "a vector"],
)
def test_compiled_step_equals_torch(shapes: list[tuple[int, ...]], clip: float) -> None:
    """Everything in the state too, until after the first refresh of the bases."""
    ours, theirs = fresh(shapes), fresh(shapes)
    compiled, plain = FusedSoap(ours, SoapSettings()), Soap(theirs)
    run(compiled, ours, range(12), clip)
    run(plain, theirs, range(12), clip)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6)
    expected = plain.state_tensors()
    for name, value in compiled.state_tensors().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5, msg=name)


def test_both_steps_go_on_from_each_others_state() -> None:
    """Steps in torch, then compiled ones from the saved state, as when a fit is resumed."""
    whole, first = fresh(), fresh()
    run(Soap(whole), whole, range(16))
    soap = Soap(first)
    run(soap, first, range(7))
    second = [p.detach().clone().requires_grad_() for p in first]
    restored = FusedSoap(second, SoapSettings())
    restored.load_state_tensors({k: v.clone() for k, v in soap.state_tensors().items()})
    run(restored, second, range(7, 16))
    for a, b in zip(second, whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("rows", [2, 7, 48])
def test_renewed_bases_are_orthogonal(rows: int) -> None:
    """Of full rank, of a rank that leaves most of the space open, and of rank zero."""
    for rank in (rows, 1, 0):
        parameters = fresh([(rows, 5)])
        soap = FusedSoap(parameters, SoapSettings())
        left, right = tensors([(rows, rank), (rank, 5)], 1.0, 3)
        for _ in range(2):
            parameters[0].grad = left @ right
            soap.step(0.01)
        for _ in range(8):
            parameters[0].grad = left @ right
            soap.step(0.0)
        parameters[0].grad = left @ right
        soap.step(0.0)  # the tenth since the start, which renews them
        state = soap.state_tensors()
        for side in ("rows", "columns"):
            basis = state[f"0.{side}.basis"].double()
            expected = torch.eye(len(basis), dtype=torch.float64)
            torch.testing.assert_close(basis.t() @ basis, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [Soap, FusedSoap])
def test_clipping_is_that_of_torch(kind: type[Soap]) -> None:
    # The first gradient leaves no plane without curvature, where any basis would do.
    shapes: list[tuple[int, ...]] = [(4, 3), (6, 6), (5,)]
    ours, theirs = fresh(shapes), fresh(shapes)
    clipped, plain = kind(ours, SoapSettings()), Soap(theirs)
    run(clipped, ours, range(3), 0.3)
    for step in range(3):
        gradients = tensors(shapes, 0.1, 100 + step)
        for i, (parameter, gradient) in enumerate(zip(theirs, gradients, strict=True)):
            parameter.grad = gradient * (1 + i % 3)
        assert float(torch.nn.utils.clip_grad_norm_(theirs, 0.3)) > 0.3
        plain.step(0.01)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("kind", [Soap, FusedSoap])
@pytest.mark.parametrize("clip", [inf, 0.1])
def test_a_diverged_gradient_shows(kind: type[Soap], clip: float) -> None:
    parameters = fresh([(4, 3), (5,)])
    soap = kind(parameters, SoapSettings())
    run(soap, parameters, range(2))
    for parameter in parameters:
        parameter.grad = torch.full(parameter.shape, torch.nan)
    soap.step(0.01, clip)
    assert all(bool(p.isnan().all()) for p in parameters)


def test_names_of_the_state() -> None:
    """Checkpoints of earlier versions hold these."""
    state = Soap(fresh([(4, 3), (5,), (1, 7), (2,)])).state_tensors()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "step": (),
        "mean": (7,),
        "square": (7,),
        "0.mean": (4, 3),
        "0.square": (4, 3),
        "0.rows.factor": (4, 4),
        "0.rows.basis": (4, 4),
        "0.columns.factor": (3, 3),
        "0.columns.basis": (3, 3),
        "1.mean": (1, 7),
        "1.square": (1, 7),
        "1.columns.factor": (7, 7),
        "1.columns.basis": (7, 7),
    }
