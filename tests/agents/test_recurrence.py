from __future__ import annotations

import pytest
import torch
from gymnasium import spaces

from agents.networks import GRU, LSTM
from agents.recurrence import GatedRecurrence, LongShortRecurrence, run

SPACE = spaces.Box(-1.0, 1.0, (5,))


def number(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("stacked", [1, 3])
@pytest.mark.parametrize("steps", [1, 4])
def test_gradients_are_those_of_finite_differences(stacked, steps):
    S, T, B, W = stacked, steps, 2, 3
    gated = (number(S, T, B, 3 * W), number(S, W, 3 * W), number(S, 1, 3 * W), number(S, B, W))
    assert torch.autograd.gradcheck(lambda *inputs: run(GatedRecurrence, *inputs)[0], gated)
    memory = (number(S, T, B, 4 * W), number(S, W, 4 * W), number(S, B, W), number(S, B, W))
    assert torch.autograd.gradcheck(lambda *inputs: run(LongShortRecurrence, *inputs)[:2], memory)


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_it_is_what_torch_computes(kind):
    net = kind(SPACE, 2, 8)
    x = number(4, 6, 5).detach().float()
    start = number(net.state[0], 4, 8).detach().float()
    hidden, last = net.cells(x, start if kind is GRU else tuple(start.split(1)))
    theirs = net.output(hidden), last if kind is GRU else torch.cat(last)
    ours = net(x, start)
    torch.testing.assert_close(ours, theirs)
    loss = [sum(part.square().sum() for part in answer) for answer in (ours, theirs)]
    gradients = [torch.autograd.grad(value, list(net.parameters())) for value in loss]
    torch.testing.assert_close(*gradients)


def test_a_gradient_of_a_gradient_is_refused():
    x = number(1, 2, 2, 9)
    states, *_ = run(GatedRecurrence, x, number(1, 3, 9), number(1, 1, 9), number(1, 2, 3))
    (first,) = torch.autograd.grad(states.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
