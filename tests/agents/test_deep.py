from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from neurotasks import load
from neurotasks.agent import Budget, silent
from neurotasks.evaluate import evaluate

torch = pytest.importorskip("torch")

from torch.func import functional_call  # noqa: E402
from torch.nn import functional  # noqa: E402

from agents import dqn, reinforce  # noqa: E402
from agents.dqn import DQNLearner  # noqa: E402
from agents.reinforce import ReinforceLearner  # noqa: E402
from agents.training import TrainingDiverged  # noqa: E402

DQN = DQNLearner(width=16, starts=64, batch=16, renewal=10)
REINFORCE = ReinforceLearner(width=16, worlds=4)
BOTH = pytest.mark.parametrize("learner", [DQN, REINFORCE], ids=["dqn", "reinforce"])
SHORT = Budget("smoke", 800)


@pytest.fixture
def task():
    return load("CartPole-v0")


def weights(agent):
    return torch.cat([p.detach().flatten() for p in agent.network.parameters()])


def lowest(learner, task, samples):
    seeds = [0, 1]
    agents = learner.learn(task, seeds=seeds, budget=Budget("quick", samples), log=silent)
    return min(evaluate(task, agents, seeds=seeds, stages=["test"], trials=100)["test"].raw)


def test_reinforce_learns_to_balance(task):
    assert lowest(ReinforceLearner(), task, 40_000) > 150.0  # chance is about 22


@pytest.mark.slow
def test_reinforce_solves_cartpole_with_every_seed(task):
    assert lowest(ReinforceLearner(), task, 100_000) > 475.0


def test_dqn_learns_to_balance(task):
    assert lowest(DQNLearner(starts=500), task, 16_000) > 80.0  # chance is about 22


@pytest.mark.slow
@pytest.mark.parametrize("double", [False, True])
def test_dqn_learns_to_balance_in_both_forms(task, double):
    assert lowest(DQNLearner(double=double), task, 60_000) > 100.0


def test_reinforce_learns_points_in_a_box():
    """One step, the return is the negative squared error: what a decoder learns from truths."""
    task, seeds = load("OrientationDecoding-v0"), [0, 1]
    learner = ReinforceLearner(worlds=64, spread=0.2, learning_rate=3e-3)
    agents = learner.learn(task, seeds=seeds, budget=Budget("quick", 60_000), log=silent)
    found = evaluate(task, agents, seeds=seeds, stages=["test"])["test"]
    assert min(found.score) > 0.3
    action, _ = agents[0].act(task.sample(50).x, None)
    assert np.abs(action).max() <= 1.0


@BOTH
def test_a_seed_gives_the_same_weights_whatever_runs_beside_it(task, learner):
    alone = learner.learn(task, seeds=[5], budget=SHORT, log=silent)
    beside = learner.learn(task, seeds=[3, 5, 8], budget=SHORT, log=silent)
    torch.testing.assert_close(weights(alone[0]), weights(beside[1]), rtol=1e-4, atol=1e-5)
    assert not torch.equal(weights(beside[0]), weights(beside[1]))
    assert alone[0].samples == beside[1].samples >= 800


@BOTH
def test_the_same_run_gives_the_same_weights(task, learner):
    first, second = (learner.learn(task, seeds=[1], budget=SHORT, log=silent) for _ in range(2))
    assert torch.equal(weights(first[0]), weights(second[0]))


@BOTH
def test_global_generators_are_left_alone(task, learner):
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    learner.learn(task, seeds=[0], budget=SHORT, log=silent)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


@BOTH
def test_curves_hold_return_and_time(task, learner):
    heard = []
    learner.learn(
        task,
        seeds=[0, 1],
        budget=SHORT,
        log=lambda samples, **scalars: heard.append((samples, scalars)),
    )
    starts = [place for place, (samples, _) in enumerate(heard) if samples == 0]
    assert len(starts) == 2
    assert all(scalars["cpu_seconds"] >= 0 for _, scalars in heard)
    assert heard[-1][0] >= 800
    assert heard[-1][1]["return"] > 5.0


@BOTH
@pytest.mark.parametrize("name", ["CartPole-v0", "EvidenceAccumulation-v0"])
def test_agents_travel_as_onnx(learner, name, tmp_path):
    pytest.importorskip("onnxruntime")
    from agents.onnx import OnnxAgent, export  # noqa: PLC0415

    task = load(name)
    agent = learner.learn(task, seeds=[0], budget=SHORT, log=silent)[0]
    export(agent, task, tmp_path / "model.onnx")
    again = OnnxAgent(tmp_path / "model.onnx")
    one, two = (evaluate(task, [player], seeds=[4], trials=20) for player in (agent, again))
    assert one["test"].raw == two["test"].raw


def test_points_travel_as_onnx(tmp_path):
    pytest.importorskip("onnxruntime")
    from agents.onnx import OnnxAgent, export  # noqa: PLC0415

    task = load("OrientationDecoding-v0")
    agent = REINFORCE.learn(task, seeds=[0], budget=SHORT, log=silent)[0]
    export(agent, task, tmp_path / "model.onnx")
    x = task.sample(7).x
    truth, _ = agent.act(x, None)
    answer, _ = OnnxAgent(tmp_path / "model.onnx").act(x, None)
    np.testing.assert_allclose(answer, truth, rtol=1e-5, atol=1e-6)


@BOTH
def test_a_seed_that_diverges_fails_alone(task, learner, monkeypatch):
    module = dqn if isinstance(learner, DQNLearner) else reinforce

    def poisoned(*arguments):
        stack = make(*arguments)
        stack.weights[1] = torch.nan
        return stack

    make = module.stack_of
    monkeypatch.setattr(module, "stack_of", poisoned)
    with pytest.raises(TrainingDiverged, match="for seed 1: lower the learning rate") as caught:
        learner.learn(task, seeds=[0, 1, 2], budget=SHORT, log=silent)
    assert sorted(caught.value.agents) == [0, 2]


@BOTH
def test_networks_with_memory_and_unknown_ones_are_refused(task, learner):
    with pytest.raises(TypeError, match="'gru' has a memory"):
        type(learner)(network="gru").learn(task, seeds=[0], budget=SHORT, log=silent)
    with pytest.raises(ValueError, match="there is no network 'mpl'"):
        type(learner)(network="mpl").learn(task, seeds=[0], budget=SHORT, log=silent)


def test_dqn_refuses_points():
    with pytest.raises(TypeError, match="actions of a Discrete space"):
        DQN.learn(load("OrientationDecoding-v0"), seeds=[0], budget=SHORT, log=silent)


@pytest.mark.parametrize("double", [False, True])
def test_the_update_is_the_slope_of_hubers_loss(task, double):
    """Against automatic differentiation of the loss as the papers write it."""
    learner = DQNLearner(width=16, starts=10**9, batch=32, double=double, clip=float("inf"))
    training = dqn._Training(task, [0, 1], 400, learner)
    training.run(silent)
    training.learned = 1  # the copy stays what it is made here
    training.copy.weights.normal_(0.0, 1.0, generator=torch.Generator().manual_seed(0))
    training._update(0.0)
    training.replay.seek(0)
    batch = training.memory.sample(training.replay.draw())
    rows = training.stack.weights.clone().requires_grad_()
    total = torch.zeros(())
    for seed, network in enumerate(training.stack.networks):

        def values(rows, x, seed=seed, network=network):
            named = {k: v[seed] for k, v in training.stack.layout.views(rows).items()}
            return functional_call(network, named, (x[seed][:, None], None))[0][:, 0]

        copied = values(training.copy.weights, batch.after)
        chooser = values(rows, batch.after).detach() if double else copied
        best = copied.gather(1, chooser.argmax(dim=1, keepdim=True))[:, 0]
        wanted = batch.reward[seed] + learner.discount * batch.goes_on[seed] * best
        known = values(rows, batch.seen).gather(1, batch.action[seed][:, None])[:, 0]
        total = total + functional.smooth_l1_loss(known, wanted)
    total.backward()
    torch.testing.assert_close(training.stack.gradient, rows.grad, rtol=1e-4, atol=1e-6)


def test_the_network_that_earned_most_is_kept(task, monkeypatch):
    learner = dataclasses.replace(DQN, checks=3)
    training = dqn._Training(task, [0, 1], 1_200, learner)
    returns = iter([[10.0, 30.0], [20.0, np.nan], [15.0, 25.0]])
    seen = []

    def recent():
        seen.append(training.stack.weights.clone())
        return np.array(next(returns))

    monkeypatch.setattr(training.play, "recent", recent)
    agents = training.run(silent)
    for row, check in ((0, 1), (1, 0)):
        expected = training.stack.layout.views(seen[check])
        for name, value in agents[row].network.named_parameters():
            assert torch.equal(value, expected[name][row])


def test_the_memory_forgets_the_oldest_steps(task):
    learner = DQNLearner(worlds=2, memory=10, starts=10**9)
    training = dqn._Training(task, [0], 400, learner)
    training.run(silent)
    memory = training.memory
    assert memory.filled == memory.rooms == 10
    goes_on = memory.columns.goes_on[0] > 0
    np.testing.assert_allclose(  # a step moves the cart by its velocity times 0.02 s
        memory.columns.after[0, :, 0],
        memory.columns.seen[0, :, 0] + 0.02 * memory.columns.seen[0, :, 1],
        atol=1e-6,
    )
    assert goes_on.any()


def test_returns_are_what_was_earned_from_each_step_on():
    episodes = reinforce._Episodes((1, 2))
    episodes.reward = [np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]]), np.array([[8.0, 0.0]])]
    np.testing.assert_allclose(episodes.returns(0.5), [[[3.0, 4.0]], [[4.0, 4.0]], [[8.0, 0.0]]])
    np.testing.assert_allclose(episodes.total, [7.5])


def test_a_seed_stops_with_its_own_budget(task):
    agents = REINFORCE.learn(task, seeds=range(4), budget=SHORT, log=silent)
    shown = [agent.samples for agent in agents]
    assert min(shown) >= 800
    assert max(shown) < 800 + 4 * 500
    assert len(set(shown)) > 1
