"""Avalanche as it is against the same strategies with batches taken out of tensors."""

from __future__ import annotations

import io
from contextlib import contextmanager, redirect_stdout

import numpy as np
import pytest
from gymnasium import spaces

from neurotasks.errors import MissingExtra
from neurotasks.task import Batch, StreamTask

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils.data import TensorDataset  # noqa: E402

from agents.avalanche import avalanche, quiet  # noqa: E402
from agents.avalanche_loader import fast  # noqa: E402
from agents.avalanche_streams import benchmark  # noqa: E402
from agents.devices import one_thread  # noqa: E402
from agents.isolation import isolated  # noqa: E402

try:
    training = avalanche("avalanche.training")
except MissingExtra as missing:
    pytest.skip(str(missing), allow_module_level=True)

pytestmark = pytest.mark.slow  # trains for a minute

CLASSES, EXPERIENCES, EACH, BATCH = 20, 10, 2000, 128


class Patterns(StreamTask):
    """Noisy images of 28 x 28 pixels: two patterns in each of ten experiences."""

    observation_space = spaces.Box(0, 255, (1, 28, 28), np.uint8)
    action_space = spaces.Discrete(CLASSES)
    experiences = EXPERIENCES

    def __init__(self):
        generator = np.random.default_rng(0)
        y = np.repeat(np.arange(CLASSES), EXPERIENCES * EACH // CLASSES)
        x = generator.random((CLASSES, 784))[y] + generator.random((len(y), 784))
        x = (127 * x).astype(np.uint8).reshape(-1, 1, 1, 28, 28)
        mask = np.ones((len(y), 1), dtype=np.bool_)
        self.trials = Batch(x, y[:, None], mask, {"group": y // 2})

    def experience(self, index, seed):
        return self.trials[index * EACH : (index + 1) * EACH]

    def test(self, seed, stage="test"):
        return self.trials

    def trivial(self, stage="test"):
        raise NotImplementedError


@pytest.fixture(scope="module")
def ours():
    return benchmark(Patterns(), dtype=torch.float32)


@pytest.fixture(scope="module")
def theirs():
    """The same images as the classic benchmarks of the library are made, which give task labels."""
    trials = Patterns().trials
    data = TensorDataset(torch.tensor(trials.x[:, 0]) / 255, torch.tensor(trials.y[:, 0]))
    data.targets = data.tensors[1].tolist()
    with quiet():
        return avalanche("avalanche.benchmarks").nc_benchmark(
            data, data, EXPERIENCES, False, shuffle=False, fixed_class_order=list(range(CLASSES))
        )


def perceptron():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, CLASSES))


def descent(model):
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


@contextmanager
def alone():
    """Compute as all sides do: one thread, the same random numbers, nothing on the console."""
    with one_thread(), isolated(0), quiet(), redirect_stdout(io.StringIO()):
        yield


def prepared(name, **settings):
    model = perceptron()
    return getattr(training, name)(
        model=model,
        optimizer=descent(model),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=BATCH,
        eval_mb_size=BATCH,
        **settings,
    )


def learned(strategy, stream):
    for experience in stream.train_stream:
        strategy.train(experience)
    return weights(strategy.model)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(
    ("name", "strategy", "settings"),
    [
        ("avalanche_naive_mlp", "Naive", {}),
        ("avalanche_replay_mlp", "Replay", {"mem_size": 500}),
    ],
)
def test_avalanche_training(compare, ours, theirs, name, strategy, settings):
    """One pass over ten experiences, both sides with the default metrics and loggers."""

    def stock():
        with alone():
            return learned(prepared(strategy, **settings), theirs)

    def gathering():
        with alone():
            return learned(fast(prepared(strategy, **settings)), ours)

    assert torch.equal(gathering(), stock())
    compare(name, gathering, stock, target=1.5, rounds=7, warm=False)


def test_avalanche_eval_mlp(compare, ours, theirs):
    """The whole test set, both sides with the default metrics and loggers."""

    with alone():
        as_ever = prepared("Naive")
    with alone():
        quick = fast(prepared("Naive"))

    def stock():
        with alone():
            return as_ever.eval(theirs.test_stream)

    def gathering():
        with alone():
            return quick.eval(ours.test_stream)

    assert len(stock()) == 2 * (EXPERIENCES + 1)  # accuracy and loss of each part and of the whole
    assert gathering() == stock()
    compare("avalanche_eval_mlp", gathering, stock, target=2.0, rounds=9, warm=False)


def plain(data):
    """The tightest loop that one writes by hand, in the order that a loader of torch draws."""
    model, criterion = perceptron(), nn.CrossEntropyLoss()
    optimiser, generator = descent(model), torch.Generator()
    for x, y in data:
        torch.empty((), dtype=torch.int64).random_()  # for worker processes, which nobody has
        generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_()))
        for index in torch.randperm(len(x), generator=generator).split(BATCH):
            optimiser.zero_grad()
            loss = criterion(model(x[index]), y[index])
            loss.backward()
            optimiser.step()
    return weights(model)


def test_avalanche_vs_plain_loop(compare, ours):
    """What is left of Avalanche's own cost, without its evaluator."""
    trials = Patterns().trials
    x, y = torch.tensor(trials.x[:, 0]) / 255, torch.tensor(trials.y[:, 0])
    data = list(zip(x.split(EACH), y.split(EACH), strict=True))

    def by_hand():
        with alone():
            return plain(data)

    def gathering():
        with alone():
            return learned(fast(prepared("Naive", evaluator=None), evaluator=False), ours)

    assert torch.equal(gathering(), by_hand())
    compare("avalanche_vs_plain_loop", gathering, by_hand, target=0.75, rounds=15, warm=False)
