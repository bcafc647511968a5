from __future__ import annotations

import logging
import pickle

import numpy as np
import pytest
import torch
from gymnasium import spaces

import neurotasks
from agents import optimiser
from agents.choice import choose
from agents.losses import truths
from agents.mlp import MLPStack
from agents.networks import NETWORKS, readout
from agents.optimiser import RowAdamW
from agents.stack import Sequential, Vmapped
from agents.training import TorchLearner, TrainingDiverged
from neurotasks.agent import Budget, silent
from neurotasks.task import Batch

DIGITS = "ImageClassificationDigits-v0"
ORIENTATION = "OrientationDecoding-v0"
SEEDS = (3, 4, 5)


def learn(task, learner, samples=192, seeds=SEEDS, log=silent):
    return learner.learn(task, seeds=seeds, budget=Budget("smoke", samples), log=log)


def weights(agent):
    return torch.cat([p.detach().flatten() for p in agent.network.parameters()])


def assert_equal(first, second):
    """Compare weights; Adam makes steps of mere rounding where a gradient ought to be zero."""
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(weights(one), weights(other), rtol=1e-3, atol=3e-4)


def networks(name="mlp", count=2, task=DIGITS):
    task = neurotasks.load(task)
    answer = readout(task.card, task.action_space)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        nets = [NETWORKS[name](task.observation_space, answer.size, 16) for _ in range(count)]
    return nets, answer


@pytest.fixture
def flawed(echo):
    """Return the echo with floats to see, which are no numbers for seed 4."""
    generate = echo.generate

    def floats(draw):
        batch = generate(draw)
        x = np.asarray(batch.x, dtype=np.float32)
        return Batch(
            np.where(np.isin(4, draw.seeds), np.nan, x).astype(np.float32), batch.y, batch.mask
        )

    echo.generate = floats
    echo.observation_space = spaces.Box(-10, 10, echo.observation_space.shape, np.float32)
    return echo


@pytest.mark.parametrize("network", NETWORKS)
def test_stacked_and_sequential_training_are_equal(network, echo):
    images = network in ("contrast-mlp", "cnn", "resnet", "dscnn")
    task = neurotasks.load(DIGITS) if images else echo
    stacked, sequential, alone = (
        learn(task, TorchLearner(network, width=16, batch=32, stacked=choice), seeds=seeds)
        for choice, seeds in ((True, SEEDS), (False, SEEDS), (None, SEEDS[1:2]))
    )
    assert_equal(stacked, sequential)
    assert_equal(stacked[1:2], alone)


@pytest.mark.parametrize("network", NETWORKS)
def test_stacked_gradients_are_those_of_single_networks(network):
    nets, answer = networks(network)
    batch = neurotasks.load(DIGITS).sample(14, 0)
    x, y = (torch.tensor(part).unflatten(0, (2, 7)) for part in (batch.x, batch.y))
    weight = torch.full((2, 1, 7), 1 / 7)
    y = truths(y, weight, answer)
    stacks = [kind(nets, answer) for kind in (Vmapped, Sequential)]
    first, other = (stack.learn(x, y, weight) for stack in stacks)
    torch.testing.assert_close(first, other)
    torch.testing.assert_close(stacks[0].gradient, stacks[1].gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kernel", [optimiser._KERNEL, None])
def test_each_row_is_optimised_as_torch_would(monkeypatch, kernel):
    monkeypatch.setattr(optimiser, "_KERNEL", kernel)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(3, 20, generator=generator)
    theirs = [torch.nn.Parameter(row.clone()) for row in rows]
    optimisers = [torch.optim.AdamW([p], lr=0.01, weight_decay=0.1) for p in theirs]
    ours = RowAdamW(rows, weight_decay=0.1, clip=1.0)
    for _ in range(5):
        gradient = torch.randn(3, 20, generator=generator) * torch.tensor([[0.01], [1.0], [9.0]])
        for parameter, their, change in zip(theirs, optimisers, gradient, strict=True):
            parameter.grad = change.clone()
            torch.nn.utils.clip_grad_norm_([parameter], 1.0)
            their.step()
        ours.step(rows, gradient.clone(), 0.01)
    torch.testing.assert_close(rows, torch.stack(theirs).detach())


@pytest.mark.parametrize("task", [DIGITS, ORIENTATION])
def test_the_batched_perceptron_takes_the_same_steps_as_automatic_differentiation(task):
    nets, answer = networks(task=task)
    first, other = MLPStack(nets, answer), Vmapped(nets, answer)
    batch = neurotasks.load(task).sample(14, 0)
    x = torch.tensor(batch.x).unflatten(0, (2, 7))
    weight = torch.rand(2, 1, 7)
    y = truths(torch.tensor(batch.y).unflatten(0, (2, 7)), weight, answer)
    prepared = torch.stack([first.inputs(x[row], [row]) for row in (0, 1)])
    torch.testing.assert_close(first.learn(prepared, y, weight), other.learn(x, y, weight))
    torch.testing.assert_close(first.gradient, other.gradient, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(first.answer(prepared), other.answer(x), rtol=1e-4, atol=1e-6)


def test_the_kind_of_stack_follows_what_was_measured():
    def kind(name, count=2, batch=32, **settings):
        nets, answer = networks(name, count)
        example = torch.tensor(neurotasks.load(DIGITS).sample(batch, 0).x)
        return type(choose(nets, answer, example, **settings))

    assert kind("mlp") is kind("mlp", 1) is kind("mlp", stacked=True) is MLPStack
    assert kind("mlp", stacked=False) is Sequential
    assert kind("mlp", precision="bfloat16") is Vmapped
    assert kind("mlp", 1, precision="bfloat16") is Sequential
    assert kind("gru") is kind("resnet") is Vmapped
    assert kind("gru", 1) is Sequential
    assert kind("cnn", batch=1024) is Sequential
    assert kind("cnn", batch=1024, stacked=True) is Vmapped


def test_a_seed_that_fails_stops_no_other(flawed):
    for network, stacked in (("mlp", None), ("ctrnn", True), ("ctrnn", False)):
        learner = TorchLearner(network, width=8, batch=32, stacked=stacked)
        with pytest.raises(TrainingDiverged, match=r"seed 4: the loss became nan after") as caught:
            learn(flawed, learner)
        error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own, as processes do
        assert str(error) == str(caught.value)
        assert list(error.failures) == [4]
        assert list(error.agents) == [3, 5]
        good = learn(flawed, learner, seeds=(3, 5))
        assert_equal(list(error.agents.values()), good)


def test_a_seed_stops_when_it_gets_no_better():
    task, log = neurotasks.load(ORIENTATION), []
    settings = {"learning_rate": 0.1, "width": 16, "checks": 40}  # too fast: it goes up and down
    agents = learn(
        task,
        TorchLearner(patience=3, **settings),
        samples=12_000,
        log=lambda samples, **scalars: log.append((samples, scalars["validation"])),
    )
    starts = [k for k, (samples, _) in enumerate(log) if k == 0 or samples < log[k - 1][0]]
    curves = [log[a:b] for a, b in zip(starts, [*starts[1:], len(log)], strict=True)]
    assert [curve[-1][0] for curve in curves] == [agent.samples for agent in agents]
    assert min(agent.samples for agent in agents) < 12_000
    for curve, agent, seed in zip(curves, agents, SEEDS, strict=True):
        errors = [error for _, error in curve]
        if agent.samples < 12_000:
            assert len(errors) - 1 - int(np.argmin(errors)) == 3
        batch = task.sample(1000, seed, "validation")
        kept = task.card.metric.values(agent.act(batch.x, None)[0], batch.y).mean()
        assert kept == pytest.approx(min(errors), rel=1e-4)
    whole = learn(task, TorchLearner(**settings), samples=12_000)
    assert {agent.samples for agent in whole} == {12_000}


def test_patience_needs_validation(echo):
    card = echo.card
    type(echo).card = card.__class__(**{**vars(card), "splits": {"train": 1000}})
    try:
        with pytest.raises(ValueError, match="no validation split: set patience to None"):
            learn(echo, TorchLearner(patience=2))
    finally:
        type(echo).card = card


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_without_memory_the_stack_is_split_and_goes_on(echo, monkeypatch, caplog, error):
    whole = learn(echo, TorchLearner(width=8, batch=32))
    one_step = MLPStack.learn

    def learn_if_small(stack, *batch):
        if len(stack.weights) > 1 and stack.gradient.any():  # in the middle of training
            raise error
        return one_step(stack, *batch)

    monkeypatch.setattr(MLPStack, "learn", learn_if_small)
    with caplog.at_level(logging.WARNING):
        halves = learn(echo, TorchLearner(width=8, batch=32))
    assert_equal(whole, halves)
    assert [record.args[0] for record in caplog.records] == [3, 2]


def test_other_errors_are_no_lack_of_memory(echo, monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(MLPStack, "learn", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        learn(echo, TorchLearner())


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_half_precision_learns_nearly_the_same(network):
    task = neurotasks.load(DIGITS)
    test = task.dataset("test")

    def right(precision):
        learner = TorchLearner(network, width=32, batch=32, precision=precision)
        agents = learn(task, learner, samples=6000, seeds=(0, 1))
        assert weights(agents[0]).dtype == torch.float32
        return np.mean([(agent.act(test.x, None)[0] == test.y).mean() for agent in agents])

    assert right("bfloat16") == pytest.approx(right("float32"), abs=0.04)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="there are float32, bfloat16"):
        TorchLearner(precision="float8")


def test_the_kind_is_logged(caplog):
    with caplog.at_level(logging.INFO):
        learn(neurotasks.load(ORIENTATION), TorchLearner(width=8))
    assert "3 seeds, batched" in caplog.text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_compiled_training_is_the_same(echo):
    for stacked in (True, False):
        compiled, plain = (
            learn(echo, TorchLearner("mlp", width=8, batch=80, stacked=stacked, compiled=choice))
            for choice in (True, False)
        )
        assert_equal(compiled, plain)


@pytest.mark.gpu
@pytest.mark.parametrize("network", NETWORKS)
def test_stacked_and_sequential_training_are_equal_on_a_gpu(network, echo):
    images = network in ("contrast-mlp", "cnn", "resnet", "dscnn")
    task = neurotasks.load(DIGITS) if images else echo
    stacked, sequential = (
        learn(task, TorchLearner(network, width=16, batch=32, stacked=choice, device="cuda"))
        for choice in (True, False)
    )
    for one, other in zip(stacked, sequential, strict=True):
        torch.testing.assert_close(weights(one), weights(other), rtol=1e-2, atol=1e-3)
