from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from gymnasium import spaces

from neurotasks import load
from neurotasks.agent import Budget, Policy, silent
from neurotasks.card import Stage, TaskCard
from neurotasks.evaluate import evaluate, trial_metric
from neurotasks.metrics import RETURN
from neurotasks.task import ControlTask

torch = pytest.importorskip("torch")

from agents.policies import Answers  # noqa: E402
from agents.ppo import PPOLearner  # noqa: E402
from agents.ppo_loop import PPOSettings, PPOTraining  # noqa: E402
from agents.training import TrainingDiverged  # noqa: E402

SMALL = {"width": 16, "worlds": 8, "steps": 32, "batch": 64, "epochs": 3, "device": "cpu"}
LEARNER = PPOLearner(**SMALL)
SHORT = Budget("smoke", 1024)


class Place(NamedTuple):
    goal: np.ndarray
    time: np.ndarray


class Point(ControlTask[Place]):
    """Answer with the number that is shown: the reward is minus the squared distance.

    Seed 13 is a world in which the number is not finite, when `broken` is set.
    """

    card = TaskCard(
        name="Point",
        version=0,
        form="control",
        topic="test",
        courses=("none",),
        summary="Answer with the number that is shown.",
        metric=RETURN,
        ceiling="exact",
        ceiling_source="the answer is known",
        chance_source="the middle is always answered",
        steps=5,
        stages={"test": Stage(trials=200, chance=-5 / 3 * 9, ceiling=0.0)},
        splits={},
        licence="generated; MIT",
        citation="none",
    )
    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Box(1.0, 7.0, (1,), np.float32)
    broken: range | None = None

    def initial(self, draw):
        goal = draw.uniform("goal", low=-1.0, high=1.0)
        if self.broken is not None:
            goal[np.isin(np.repeat(draw.seeds, draw.count), self.broken)] = np.nan
        return Place(goal, draw.integers("goal", 1))

    def observe(self, state):
        return state.goal[:, None].astype(np.float32)

    def step(self, state, action, draw):
        distance = action[:, 0] - (4.0 + 3.0 * state.goal)
        return state._replace(time=state.time + 1), -(distance**2), np.zeros(len(distance), bool)

    def trivial(self, stage="test"):
        self.card.stage(stage)
        return Policy(lambda x: np.full((*x.shape[:2], 1), 4.0, dtype=np.float32))


@pytest.fixture
def task():
    return load("CartPole-v0")


def weights(agent):
    return torch.cat([p.detach().flatten() for p in agent.network.parameters()])


def test_a_cut_episode_is_worth_what_the_critic_expects():
    """Five steps are the limit: the last one's later worth is the critic's, discounted."""
    training = PPOTraining(Point(), [0, 1], 1024, PPOSettings(**SMALL))
    past = training.players.play(10, 0, 0.9)
    assert past.ended[4].all()
    assert not past.ended[:4].any()
    value = training.rows.step(
        past.seen[4].repeat_interleave(2, dim=0), torch.zeros(4, 8, 0), slice(None)
    )[0][1::2, :, 0]  # the number that is shown stays
    np.testing.assert_allclose(past.later[4], 0.9 * value.numpy(), rtol=1e-5)
    assert not past.later[:4].any()


@pytest.mark.parametrize("settings", [{}, {"standardised": True}, {"network": "gru"}])
def test_a_seed_learns_the_same_whatever_learns_beside_it(task, settings):
    learner = PPOLearner(**{**SMALL, **settings})
    alone = learner.learn(task, seeds=[5], budget=SHORT, log=silent)
    again = learner.learn(task, seeds=[5], budget=SHORT, log=silent)
    beside = learner.learn(task, seeds=[3, 5, 9], budget=SHORT, log=silent)
    assert torch.equal(weights(alone[0]), weights(again[0]))
    torch.testing.assert_close(weights(alone[0]), weights(beside[1]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(weights(beside[0]), weights(beside[1]), atol=1e-2)


def test_a_seed_learns_the_same_when_another_one_stops(task):
    """The worlds of those who have stopped idle; nobody else's begin anew."""
    whole, cut = (PPOTraining(task, [3, 5], 2048, PPOSettings(**SMALL)) for _ in range(2))
    for turn in range(8):
        whole.iterate()
        cut.iterate()
        if turn == 3:
            cut.stop([0])
    assert whole.done
    assert cut.done
    torch.testing.assert_close(weights(whole.agent(1)), weights(cut.agent(1)), rtol=1e-4, atol=1e-5)
    assert cut.agent(0).samples == 4 * 256


def test_a_seed_fails_alone():
    task = Point()
    task.broken = range(8, 16)  # the worlds of seed 1
    with pytest.raises(TrainingDiverged, match="seed 1: weights were no longer numbers") as caught:
        LEARNER.learn(task, seeds=[0, 1, 2], budget=SHORT, log=silent)
    assert sorted(caught.value.agents) == [0, 2]
    alone = LEARNER.learn(Point(), seeds=[2], budget=SHORT, log=silent)
    torch.testing.assert_close(
        weights(caught.value.agents[2]), weights(alone[0]), rtol=1e-4, atol=1e-5
    )


def test_progress_is_reported_seed_after_seed(task):
    heard, watched = [], []

    class Log:
        def __call__(self, samples, **scalars):
            heard.append((samples, sorted(scalars), scalars["cpu_seconds"]))

        def watch(self, samples, validation):
            watched.append((samples, validation))

    LEARNER.learn(task, seeds=[0, 1], budget=SHORT, log=Log())
    assert [samples for samples, *_ in heard] == [256, 512, 768, 1024] * 2
    assert all(names == ["cpu_seconds", "return"] for _, names, _ in heard)
    seconds = [second for *_, second in heard]
    assert seconds[:4] == sorted(seconds[:4])
    assert [samples for samples, _ in watched] == [256, 512, 768, 1024]
    assert all(8 < value < 100 for _, value in watched)


@pytest.mark.parametrize(("samples", "shown"), [(40, 40), (300, 256), (600, 512)])
def test_the_budget_is_whole_rollouts(task, samples, shown):
    agents = LEARNER.learn(task, seeds=[0], budget=Budget("smoke", samples), log=silent)
    assert agents[0].samples == shown


def test_global_generators_are_left_alone(task):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    LEARNER.learn(task, seeds=[0], budget=SHORT, log=silent)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_it_learns_to_answer_with_a_point():
    learner = PPOLearner(
        **{**SMALL, "learning_rate": 1e-2, "epochs": 10}, discount=0.5, standardised=True
    )
    task = Point()
    agents = learner.learn(task, seeds=[0, 1], budget=Budget("quick", 10_240), log=silent)
    for result in evaluate(task, agents, seeds=[0, 1]).values():
        assert min(result.score) > 0.9


def test_it_learns_to_balance(task):
    learner = PPOLearner(
        **{**SMALL, "width": 32, "steps": 64, "batch": 128, "epochs": 6}, learning_rate=3e-3
    )
    agents = learner.learn(task, seeds=[0, 1], budget=Budget("quick", 20_480), log=silent)
    for seed, agent in enumerate(agents):
        assert trial_metric(task, agent, seed=seed, trials=100).mean() > 200.0  # chance: 22


def test_a_trial_task_is_a_game_of_one_trial():
    task = load("OrientationDecoding-v0")
    agents = LEARNER.learn(task, seeds=[0], budget=SHORT, log=silent)
    action, _ = agents[0].act(task.sample(5).x, None)
    assert action.shape == (5, 1, 2)
    assert np.abs(action).max() <= 1.0


@pytest.mark.parametrize(
    ("make", "settings"),
    [(Point, {}), (lambda: load("EvidenceAccumulation-v0"), {"network": "gru"})],
    ids=["points", "classes and memory"],
)
def test_a_policy_travels_as_onnx(make, settings, tmp_path):
    pytest.importorskip("onnxruntime")
    from agents.onnx import OnnxAgent, export  # noqa: PLC0415

    task = make()
    learner = PPOLearner(**{**SMALL, **settings, "standardised": True})
    agents = learner.learn(task, seeds=[0], budget=SHORT, log=silent)
    export(agents[0], task, tmp_path / "model.onnx")
    again = OnnxAgent(tmp_path / "model.onnx")
    one, two = (evaluate(task, [agent], seeds=[4], trials=20) for agent in (agents[0], again))
    assert one["test"].raw == pytest.approx(two["test"].raw, rel=1e-4)


def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="there is no policy 'cnn'; there are mlp, gru"):
        PPOLearner(network="cnn")
    with pytest.raises(TypeError, match="a policy acts in a Discrete or a Box space"):
        Answers.to(spaces.MultiBinary(3))


@pytest.mark.slow
def test_it_solves_cartpole_with_every_seed(task):
    agents = PPOLearner(device="cpu").learn(
        task, seeds=range(5), budget=Budget("full", 100_000), log=silent
    )
    for seed, agent in enumerate(agents):
        assert trial_metric(task, agent, seed=100 + seed, trials=100).mean() >= 475.0


@pytest.mark.slow
def test_memory_accumulates_evidence():
    """Without memory a policy earns about 0.53 of the way from chance to the ideal observer."""
    task = load("EvidenceAccumulation-v0")
    learner = PPOLearner(
        network="gru",
        width=32,
        worlds=64,
        steps=64,
        batch=1024,
        epochs=4,
        learning_rate=3e-3,
        discount=1.0,
        trace=0.95,
        device="cpu",
    )
    agents = learner.learn(task, seeds=[0, 1, 2], budget=Budget("full", 400_000), log=silent)
    assert min(evaluate(task, agents, seeds=[0, 1, 2], stages=["test"])["test"].score) > 0.7
    assert math.isfinite(float(weights(agents[0]).sum()))
