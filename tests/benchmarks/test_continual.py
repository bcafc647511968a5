"""Native learners of streams against Avalanche's own strategies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import neurotasks
from agents.avalanche import avalanche, quiet
from agents.devices import one_thread
from agents.isolation import isolated
from agents.networks import MLP, readout
from agents.stream_learner import StreamLearner
from agents.training import TorchAgent
from neurotasks.agent import Budget, silent
from neurotasks.errors import MissingExtra
from neurotasks.evaluate import trial_metric
from neurotasks.scores import interval

pytestmark = pytest.mark.slow  # trains for minutes

STREAM, SEEDS, PASSES = "ContinualDigits-v0", tuple(range(10)), 10
WIDTH, RATE, MOMENTUM, BATCH, MEMORY = 128, 0.03, 0.9, 32, 200


class OneStep(nn.Module):
    """A network as Avalanche calls it."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x[:, None])[0][:, 0]


class Labelled(torch.utils.data.TensorDataset):
    """Trials with the list of labels that Avalanche looks for."""

    def __init__(self, batch):
        super().__init__(torch.tensor(batch.x[:, 0]), torch.tensor(batch.y[:, 0]))
        self.targets = batch.y[:, 0].tolist()


def stock(task, seed, plugins=()):
    """Avalanche's replay as it comes: its loaders, and its evaluator that talks to the console."""
    utils = avalanche("avalanche.benchmarks.utils")
    with isolated(seed), quiet():
        data = [
            utils.as_classification_dataset(Labelled(task.experience(index, seed)))
            for index in range(task.experiences)
        ]
        stream = avalanche("avalanche.benchmarks").benchmark_from_datasets(train=data).train_stream
        network = MLP(task.observation_space, int(task.action_space.n), WIDTH)
        model = OneStep(network)
        strategy = avalanche("avalanche.training.supervised").Replay(
            model=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM),
            criterion=nn.CrossEntropyLoss(),
            mem_size=MEMORY,
            train_mb_size=BATCH,
            train_epochs=PASSES,
            plugins=list(plugins),
        )
        for experience in stream:
            strategy.train(experience)
    return TorchAgent(network.eval(), readout(task.card, task.action_space))


def counter(shown):
    """Return a plug-in that counts the trials of each experience."""
    plugin = avalanche("avalanche.core").SupervisedPlugin()

    def count(strategy, **_):
        shown[strategy.clock.train_exp_counter] += len(strategy.mb_x)

    plugin.after_training_iteration = count
    return plugin


def accuracies(task, agents):
    """Return the mean accuracy with an interval that misses it once in a hundred times."""
    raw = [
        trial_metric(task, agent, seed=seed).mean()
        for agent, seed in zip(agents, SEEDS, strict=True)
    ]
    return interval(raw, level=0.99)


def test_continual_10_seeds(compare):
    """The same trials shown, and accuracies whose intervals overlap."""
    try:
        avalanche("avalanche.training")
    except MissingExtra as missing:
        pytest.skip(str(missing))
    task = neurotasks.load(STREAM)

    def theirs():
        with one_thread():
            return [stock(task, seed) for seed in SEEDS]

    shown = np.zeros((len(SEEDS), task.experiences), dtype=np.int64)
    with one_thread():
        found = [stock(task, seed, [counter(row)]) for seed, row in zip(SEEDS, shown, strict=True)]
    budgets = [Budget("same", round(mean)) for mean in shown.mean(axis=0)]

    def ours():
        learner = StreamLearner(
            strategy="replay",
            width=WIDTH,
            learning_rate=RATE,
            momentum=MOMENTUM,
            batch=BATCH,
            memory=MEMORY,
            device="cpu",
        )
        for experience, budget in zip(task.stream(), budgets, strict=True):
            agents = learner.learn(experience, seeds=SEEDS, budget=budget, log=silent)
        return agents

    one, other = accuracies(task, ours()), accuracies(task, found)
    assert max(one.low, other.low) <= min(one.high, other.high), f"{one} against {other}"
    compare("continual_10_seeds", ours, theirs, target=5.0, rounds=3, warm=False)
