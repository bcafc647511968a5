from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from neurotasks import load
from neurotasks.agent import Budget, Policy, silent
from neurotasks.card import Stage
from neurotasks.continual import evaluate_stream
from neurotasks.errors import MissingExtra
from neurotasks.task import Batch, StreamTask

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from torch import nn  # noqa: E402

from agents import stream_trials  # noqa: E402
from agents.avalanche import avalanche, quiet  # noqa: E402
from agents.heads import Headed, split_task  # noqa: E402
from agents.isolation import isolated  # noqa: E402
from agents.networks import MLP  # noqa: E402
from agents.onnx import export  # noqa: E402
from agents.stream_learner import STRATEGIES, StreamLearner  # noqa: E402
from agents.stream_penalty import Elastic, fisher  # noqa: E402
from agents.stream_trials import Pool  # noqa: E402
from agents.stream_trials import load as loaded  # noqa: E402
from agents.training import TrainingDiverged  # noqa: E402
from neurotasks.onnx_agent import OnnxAgent  # noqa: E402

SHORT = Budget("smoke", 300)
STREAMS = ("ContinualDigits-v0", "SplitDigitsTask-v0")


class Echo(StreamTask):
    """Say which of four symbols was shown one step ago; the first experience shows two of them."""

    card = replace(
        load("ContinualDigits-v0").card,
        name="EchoStream",
        steps=6,
        stages={"test": Stage(trials=100, chance=0.25, ceiling=1.0)},
        splits={"train": 300, "test": 100},
    )
    observation_space = spaces.Discrete(4)
    action_space = spaces.Discrete(4)
    experiences = 2

    def experience(self, index, seed):
        generator = np.random.default_rng([seed, index])
        return self._echo(generator.integers(2 * index, 2 * index + 2, (140 + 20 * index, 6)))

    def test(self, seed, stage="test"):
        generator = np.random.default_rng([seed, 9])
        half = [generator.integers(2 * group, 2 * group + 2, (50, 6)) for group in range(2)]
        batch = self._echo(np.concatenate(half))
        return replace(batch, trials={"group": np.repeat([0, 1], 50)})

    def trivial(self, stage="test"):
        return Policy(lambda x: np.zeros(x.shape[:2], dtype=np.int64))

    def _echo(self, shown):
        mask = np.broadcast_to(np.arange(6) > 0, shown.shape)
        return Batch(shown, np.roll(shown, 1, axis=1), mask)


def weights(agent):
    return torch.cat([p.detach().flatten() for p in agent.network.parameters()])


def walk(learner, task, seeds, experiences=3, budget=SHORT):
    for experience in task.stream()[:experiences]:
        agents = learner.learn(experience, seeds=seeds, budget=budget, log=silent)
    return agents


def learner(strategy, **settings):
    return StreamLearner(**{"strategy": strategy, "width": 16, "device": "cpu"} | settings)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_seeds_side_by_side_learn_what_each_learns_alone(strategy, stream):
    task = load(stream)
    beside = walk(learner(strategy), task, [0, 3, 8])
    for agent, seed in zip(beside, (0, 3, 8), strict=True):
        alone = walk(learner(strategy), task, [seed])[0]
        torch.testing.assert_close(weights(agent), weights(alone), rtol=1e-3, atol=1e-5)
        assert agent.trained == "3 seeds, batched"
    assert not torch.allclose(weights(beside[0]), weights(beside[1]), atol=1e-3)


@pytest.mark.parametrize("network", ["mlp", "cnn"])
@pytest.mark.parametrize("stream", STREAMS)
def test_every_kind_of_stack_learns_the_same(network, stream):
    task, settings = load(stream), {"network": network, "strategy": "ewc"}
    one, other = (
        walk(learner(**settings, stacked=stacked), task, [0, 1]) for stacked in (True, False)
    )
    for a, b in zip(one, other, strict=True):
        assert a.trained != b.trained
        torch.testing.assert_close(weights(a), weights(b), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("strategy", ["naive", "replay", "ewc"])
def test_sequences_are_learned_where_they_are_scored(strategy):
    task, settings = Echo(), {"network": "gru", "learning_rate": 0.1}
    beside = walk(learner(strategy, **settings), task, [0, 3], experiences=2)
    alone = walk(learner(strategy, **settings, stacked=False), task, [3], experiences=2)
    torch.testing.assert_close(weights(beside[1]), weights(alone[0]), rtol=1e-3, atol=1e-5)
    _, found = evaluate_stream(
        task, learner(strategy, **settings), seeds=[0], budget=Budget("q", 12_000), log=silent
    )
    assert found["test"].extra["matrix"][0][1][1] > 0.9  # in the last experience


def passes(size, count, order):
    """Yield numbers below `size`, shuffled pass by pass."""
    rows = []
    while len(rows) < count:
        rows += torch.randperm(size, generator=order).tolist()
    return rows[:count]


def plain_loop(task, seed, memory, experiences=3, tasks=0):
    """The loop that one writes by hand, with automatic derivatives and torch's own optimiser."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        size = int(task.action_space.n)
        model = Headed(task.observation_space, size, tasks, lambda s, n: MLP(s, n, 16)) if tasks \
            else MLP(task.observation_space, size, 16)  # fmt: skip
    optimiser = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    order, kept = torch.Generator().manual_seed(seed), []
    for index in range(experiences):
        batch = task.experience(index, seed)
        x, y = torch.tensor(batch.x), torch.tensor(batch.y)
        steps = -(-SHORT.samples // (64 if kept else 32))
        fresh = torch.tensor(passes(len(x), 32 * steps, order)).split(32)
        if kept:
            old_x, old_y = torch.cat([a for a, _ in kept]), torch.cat([b for _, b in kept])
            old = torch.tensor(passes(len(old_x), 32 * steps, order)).split(32)
        for step in range(steps):
            seen, known = x[fresh[step]], y[fresh[step]]
            if kept:
                seen = torch.cat([seen, old_x[old[step]]])
                known = torch.cat([known, old_y[old[step]]])
            loss = nn.functional.cross_entropy(model(seen)[0][:, 0], known[:, 0])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if memory:
            chosen = torch.randperm(len(x), generator=order)[:memory]
            kept.append((x[chosen], y[chosen]))
            share = memory // len(kept)
            kept = [(a[:share], b[:share]) for a, b in kept]
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(("strategy", "memory"), [("naive", 0), ("replay", 60)])
@pytest.mark.parametrize(("stream", "tasks"), [(STREAMS[0], 0), (STREAMS[1], 5)])
def test_the_weights_are_those_of_a_plain_loop(strategy, memory, stream, tasks):
    task = load(stream)
    agents = walk(learner(strategy, memory=memory), task, [2, 5])
    for agent, seed in zip(agents, (2, 5), strict=True):
        expected = plain_loop(task, seed, memory, tasks=tasks)
        torch.testing.assert_close(weights(agent), expected, rtol=1e-3, atol=1e-5)


def test_the_memory_is_shared_evenly():
    task, replay = load("ContinualDigits-v0"), learner("replay", memory=50)
    for count, experience in enumerate(task.stream(), start=1):
        replay.learn(experience, seeds=[0, 1], budget=SHORT, log=silent)
        for seed, memory in enumerate(replay._memories):
            shares = [len(trials) for trials in memory.kept]
            assert sum(shares) == 50
            assert max(shares) - min(shares) <= 1
            assert shares == sorted(shares, reverse=True)
            for index, trials in enumerate(memory.kept):
                taught = {x.tobytes() for x in task.experience(index, seed).x}
                shown = [x.tobytes() for x in trials.x.numpy()]
                assert set(shown) <= taught
            assert count == len(memory.kept)
    assert replay.held() == [50 * (64 + 8 + 1)] * 2


def test_a_small_experience_is_kept_whole():
    memory, order = stream_trials.Memory(90), torch.Generator()
    for size in (10, 200):
        y = torch.zeros(size, 1, dtype=torch.int64)
        memory.add(Batch(torch.rand(size, 1, 2), y, y == 0), order)
    assert [len(trials) for trials in memory.kept] == [10, 45]


def taught(task, strategy, seeds, experiences=1):
    """Return a learner, its stack and a pool of the trials that it has learned last."""
    one = learner(strategy)
    walk(one, task, seeds, experiences)
    run = one.running
    batches = [task.experience(experiences - 1, seed) for seed in seeds]
    trials = [loaded(b, run.stack.readout, 0, torch.device("cpu")) for b in batches]
    return one, run.stack, Pool(run.stack, trials, [[] for _ in trials])


def autograd(stack, row, x, y):
    """Return the mean loss of one seed's network, and its gradient in the order of the stack."""
    network = stack.unstack(row, stack.weights[row])
    loss = nn.functional.cross_entropy(network(x)[0][:, 0], y[:, 0])
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    row_of = torch.zeros(1, stack.layout.size)
    for view, gradient in zip(stack.layout.views(row_of).values(), gradients, strict=True):
        view.copy_(gradient[None])
    return row_of[0]


def test_fisher_is_the_mean_squared_gradient_of_batches():
    task, seeds = load("ContinualDigits-v0"), [0, 3]
    _, stack, pool = taught(task, "naive", seeds)
    assert pool.fresh == [270, 266]  # the second seed has one batch less
    found = fisher(stack, pool, 133)
    for row, part in enumerate(pool.parts):
        chunks = list(zip(part.x.split(133), part.y.split(133), strict=True))
        squares = [autograd(stack, row, x, y).square() for x, y in chunks]
        torch.testing.assert_close(found[row], sum(squares) / len(chunks), rtol=1e-3, atol=1e-9)


def test_fisher_is_that_of_avalanche():
    task, seeds = load("ContinualDigits-v0"), [0, 4]
    try:
        plugins = avalanche("avalanche.training.plugins")
    except MissingExtra as missing:
        pytest.skip(str(missing))
    _, stack, pool = taught(task, "naive", seeds)
    found = fisher(stack, pool, 32)
    for row, part in enumerate(pool.parts):
        network = stack.unstack(row, stack.weights[row])
        model = nn.Sequential(network.encoder, nn.Flatten(), network.layers)
        data = torch.utils.data.TensorDataset(part.x[:, 0], part.y[:, 0], part.y[:, 0])
        with isolated(0), quiet():
            plugin = plugins.EWCPlugin(ewc_lambda=1.0)
            optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
            importance = plugin.compute_importances(
                model, nn.CrossEntropyLoss(), optimiser, data, torch.device("cpu"), 32
            )
        expected = torch.zeros(1, stack.layout.size)
        for view, one in zip(
            stack.layout.views(expected).values(), importance.values(), strict=True
        ):
            view.copy_(one.data[None])
        torch.testing.assert_close(found[row], expected[0], rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("decay", [None, 0.5])
def test_penalties_of_ewc_are_those_of_each_experience(decay):
    task, seeds = load("ContinualDigits-v0"), [1, 2]
    one, stack, pool = taught(task, "naive", seeds)
    penalty, anchors, importances = Elastic(stack.weights, 7.0, 1e-6, decay), [], []
    for experience in task.stream()[1:4]:
        penalty.consolidate(stack, pool, 32)
        importances.append(fisher(stack, pool, 32))
        anchors.append(stack.weights.clone())
        one.learn(experience, seeds=seeds, budget=SHORT, log=silent)
    free = stack.weights.clone().requires_grad_()
    if decay is None:
        loss = sum((f * (free - a) ** 2).sum() for f, a in zip(importances, anchors, strict=True))
    else:
        total = sum(decay**age * f for age, f in enumerate(reversed(importances)))
        loss = (total * (free - anchors[-1]) ** 2).sum()
    expected = torch.autograd.grad(7.0 * loss, free)[0]
    stack.gradient.zero_()
    penalty.pull(stack)
    assert expected.norm() > 0.01
    torch.testing.assert_close(stack.gradient, expected, rtol=1e-3, atol=1e-6)
    assert penalty.bytes == 2 * 4 * stack.layout.size


def test_synaptic_intelligence_is_that_of_its_paper():
    task, seed, rate, strength, damping = load("ContinualDigits-v0"), 3, 0.03, 0.5, 1e-3
    one = learner("si", strength=strength, damping=damping)
    agents = walk(one, task, [seed], experiences=2)
    untrained = learner("si")._untrained(task.stream()[0], 10, seed)
    now = torch.cat([p.detach().flatten() for p in untrained.parameters()])
    anchor, importance, velocity = now.clone(), torch.zeros_like(now), torch.zeros_like(now)
    order = torch.Generator().manual_seed(seed)
    for index in range(2):
        batch = task.experience(index, seed)
        x, y = torch.tensor(batch.x), torch.tensor(batch.y)
        gain = torch.zeros_like(now)
        for rows in torch.tensor(passes(len(x), 320, order)).split(32):
            nn.utils.vector_to_parameters(now, untrained.parameters())
            loss = nn.functional.cross_entropy(untrained(x[rows])[0][:, 0], y[rows, 0])
            slope = torch.autograd.grad(loss, list(untrained.parameters()))
            slope = torch.cat([part.flatten() for part in slope])
            velocity = 0.9 * velocity + slope + 2 * strength * importance * (now - anchor)
            after = now - rate * velocity
            gain -= slope * (after - now)
            now = after
        importance += gain.clamp(min=0) / ((now - anchor) ** 2 + damping)
        anchor = now.clone()
    torch.testing.assert_close(weights(agents[0]), now, rtol=1e-3, atol=1e-5)
    found = [view[0] for view in one.running.stack.layout.views(one._penalty.importance).values()]
    found = torch.cat([part.flatten() for part in found])
    assert importance.max() > 0.1
    torch.testing.assert_close(found, importance, rtol=2e-2, atol=1e-3)


def test_trials_too_large_to_prepare_at_once_give_the_same(monkeypatch):
    task = load("SplitDigitsTask-v0")
    before = walk(learner("ewc"), task, [0, 1])
    monkeypatch.setattr(stream_trials, "_PREPARED_BYTES", 0)
    after = walk(learner("ewc"), task, [0, 1])
    torch.testing.assert_close(weights(before[1]), weights(after[1]), rtol=0, atol=0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_again_is_the_same_and_global_generators_are_left_alone(strategy):
    task, state, one = load("ContinualDigits-v0"), torch.get_rng_state(), learner(strategy)
    first = weights(walk(one, task, [5])[0])
    torch.testing.assert_close(first, weights(walk(one, task, [5])[0]), rtol=0, atol=0)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("samples", [100, 1000])
def test_the_budget_counts_all_that_is_shown(strategy, samples):
    shown, one = [], learner(strategy)
    for experience in load("ContinualDigits-v0").stream()[:3]:
        agents = one.learn(
            experience,
            seeds=[0, 1],
            budget=Budget("smoke", samples),
            log=lambda number, **_: shown.append(number),
        )
    steps = np.diff([0, *shown])
    assert (steps >= samples).all()
    assert (steps < samples + 2 * one.batch).all()
    assert agents[0].samples == shown[-1]


def raw(strategy, stream, seeds=range(3), **settings):
    task = load(stream)
    one = StreamLearner(strategy=strategy, device="cpu", **settings)
    budget = Budget("full", 20 * 1347)
    _, results = evaluate_stream(task, one, seeds=seeds, budget=budget, log=silent)
    return results["test"]


def test_without_the_task_only_rehearsal_remembers():
    found = {name: np.mean(raw(name, "ContinualDigits-v0").raw) for name in STRATEGIES}
    assert found["naive"] < 0.22
    assert found["ewc"] < 0.25
    assert found["si"] < 0.25
    assert 0.87 < found["replay"] < found["cumulative"] < found["joint"]
    assert found["joint"] > 0.96


def test_told_the_task_penalties_help():
    found = {name: raw(name, "SplitDigitsTask-v0") for name in STRATEGIES}
    mean = {name: np.mean(result.raw) for name, result in found.items()}
    assert mean["naive"] + 0.01 < mean["ewc"]
    assert mean["naive"] + 0.03 < mean["si"] < mean["joint"]
    assert mean["replay"] > 0.97
    lost = {name: np.mean(result.extra["forgetting"]) for name, result in found.items()}
    assert lost["naive"] > lost["ewc"] > lost["si"] > lost["joint"]


def test_it_says_what_it_holds():
    held = {
        name: raw(name, "SplitDigitsTask-v0", [0], width=16).extra["held_bytes"][0]
        for name in STRATEGIES
    }
    size = (64 + 1) * 16 + (16 + 1) * 16 + (16 + 1) * 10
    assert held["naive"] == [0] * 5
    assert held["ewc"] == held["si"] == [8 * size] * 5
    assert held["replay"] == [200 * (64 + 8 + 1)] * 5
    assert held["joint"] == [1347 * 73] * 5
    assert held["cumulative"][-1] == 1347 * 73
    assert sorted(set(held["cumulative"])) == held["cumulative"]


def test_a_seed_that_fails_leaves_the_others_alone():
    task, one = load("ContinualDigits-v0"), learner("replay")
    stream = task.stream()
    one.learn(stream[0], seeds=[0, 1, 2], budget=SHORT, log=silent)
    one.running.stack.weights[1, 0] = torch.nan
    with pytest.raises(TrainingDiverged, match=r"'replay' with seed 1 .* lower the") as failed:
        one.learn(stream[1], seeds=[0, 1, 2], budget=SHORT, log=silent)
    assert set(failed.value.failures) == {1}
    assert set(failed.value.agents) == {0, 2}
    whole = walk(learner("replay"), task, [2], experiences=2)
    torch.testing.assert_close(
        weights(failed.value.agents[2]), weights(whole[0]), rtol=1e-3, atol=1e-5
    )


def test_weights_that_are_no_numbers_are_found_out():
    one = learner("ewc", learning_rate=1e20)
    with pytest.raises(
        TrainingDiverged, match=r"'ewc' with seed 2, 3 .* or the strength \(now 30000"
    ):
        walk(one, load("ContinualDigits-v0"), [2, 3])


@pytest.mark.parametrize("strategy", ["ewc", "si"])
def test_no_strength_makes_learning_diverge(strategy):
    """The weights are held as firmly as a step can hold them, and the first task is kept."""
    task, seeds = load("SplitDigitsTask-v0"), [0, 1]
    one = learner(strategy, strength=1e9)
    agents = walk(one, task, seeds, budget=Budget("quick", 3000))
    for agent, seed in zip(agents, seeds, strict=True):
        batch = task.test(seed)
        answer, _ = agent.act(batch.x, None)
        first = batch.trials["group"] == 0
        assert (answer[first] == batch.y[first]).mean() > 0.9


def test_experiences_come_in_turn():
    one, stream = learner("naive"), load("ContinualDigits-v0").stream()
    with pytest.raises(ValueError, match=r"experience 1 .* out of turn"):
        one.learn(stream[1], seeds=[0], budget=SHORT, log=silent)
    one.learn(stream[0], seeds=[0], budget=SHORT, log=silent)
    with pytest.raises(ValueError, match="out of turn: expected experience 1"):
        one.learn(stream[2], seeds=[0], budget=SHORT, log=silent)
    with pytest.raises(ValueError, match=r"seeds \[0\]"):
        one.learn(stream[1], seeds=[1], budget=SHORT, log=silent)


def test_what_cannot_be_learned_is_refused():
    orientation = load("OrientationDecoding-v0")
    with pytest.raises(TypeError, match="OrientationDecoding-v0 is no experience"):
        learner("naive").learn(orientation, seeds=[0], budget=SHORT, log=silent)
    with pytest.raises(ValueError, match="there is no 'rehearse'; there are naive, replay"):
        StreamLearner(strategy="rehearse")
    with pytest.raises(ValueError, match="there is no 'vit'; there are mlp"):
        StreamLearner(network="vit")
    with pytest.raises(ValueError, match="teaches nothing"):
        walk(learner("naive"), load("ContinualDigits-v0"), [0], budget=Budget("none", 0))


def test_an_agent_that_is_told_the_task_can_be_exported(tmp_path):
    task = load("SplitDigitsTask-v0")
    agent = walk(learner("naive"), task, [0], experiences=1)[0]
    export(agent, task, tmp_path / "agent.onnx")
    x = task.test(0).x
    answer = OnnxAgent(tmp_path / "agent.onnx").act(x, None)[0]
    np.testing.assert_array_equal(answer, agent.act(x, None)[0])


def test_told_agents_answer_with_the_head_of_the_task():
    task = load("SplitDigitsTask-v0")
    agent = walk(learner("naive"), task, [0], experiences=1)[0]
    images, number = split_task(torch.tensor(task.test(0).x), 5)
    every = agent.network.inner(images)[0].unflatten(-1, (5, 2))
    expected = every[torch.arange(len(images)), 0, number[:, 0]].argmax(-1)
    np.testing.assert_array_equal(agent.act(task.test(0).x, None)[0][:, 0], expected)
