from __future__ import annotations

import random

import gymnasium as gym
import numpy as np
import pytest

from neurotasks import load
from neurotasks.agent import Budget, silent
from neurotasks.evaluate import evaluate, trial_metric
from neurotasks.vector import TaskVectorEnv

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from stable_baselines3 import PPO  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv  # noqa: E402

from agents.isolation import isolated  # noqa: E402
from agents.sb3 import SB3Learner, TaskVecEnv, actor  # noqa: E402

CARTPOLE = "neurotasks/CartPole-v0"
SHORT = Budget("smoke", 512)
SMALL = SB3Learner(n_envs=8, n_steps=32)


@pytest.fixture
def task():
    return load("CartPole-v0")


def adapted(worlds=3, task=CARTPOLE, limit=None):
    return TaskVecEnv(TaskVectorEnv(worlds, task, "train", "SameStep", limit))


def weights(agent):
    return torch.cat([p.detach().flatten() for p in agent.network.parameters()])


def test_the_adapter_equals_stable_baselines_own_loop_over_single_worlds():
    """Twelve steps are the limit, so that worlds end both ways: by falling and by time."""
    ours = adapted(5, limit=12)
    single = DummyVecEnv([lambda: gym.make(CARTPOLE, max_episode_steps=12)] * 5)
    ours.seed(20)
    single.seed(20)
    np.testing.assert_array_equal(ours.reset(), single.reset())
    actions = np.ones((80, 5), dtype=np.int64)
    actions[40:, ::2] = np.arange(40)[:, None] % 2  # to and fro: these last until the limit
    ends = []
    for action in actions:
        observation, reward, done, infos = ours.step(action)
        observation_, reward_, done_, infos_ = single.step(action)
        np.testing.assert_array_equal(observation, observation_)
        np.testing.assert_array_equal(reward, reward_)
        np.testing.assert_array_equal(done, done_)
        for info, info_ in zip(infos, infos_, strict=True):
            assert ("terminal_observation" in info) == ("terminal_observation" in info_)
            if info:
                assert info["TimeLimit.truncated"] == info_["TimeLimit.truncated"]
                np.testing.assert_array_equal(
                    info["terminal_observation"], info_["terminal_observation"]
                )
                ends.append((info["TimeLimit.truncated"], info["episode"]["l"]))
    assert (True, 12) in ends
    assert any(not truncated and length < 12 for truncated, length in ends)


def test_an_episode_reports_its_own_return_and_length():
    env = adapted(2)
    env.seed(0)
    env.reset()
    finished = []
    for _ in range(60):
        _, _, _, infos = env.step(np.array([1, 1]))
        finished += [info["episode"] for info in infos if info]
    assert len(finished) > 4
    assert all(episode["r"] == episode["l"] for episode in finished)  # one for every step


def test_another_reset_mode_is_refused():
    with pytest.raises(ValueError, match="resets in mode 'NextStep'"):
        TaskVecEnv(TaskVectorEnv(2, CARTPOLE))


def test_worlds_of_a_batch_have_no_attributes_of_their_own():
    env = adapted(3)
    assert env.get_attr("num_envs", [0, 2]) == [3, 3]
    assert env.env_is_wrapped(gym.Wrapper, 1) == [False]
    with pytest.raises(AttributeError, match="cannot set 'gravity'"):
        env.set_attr("gravity", 1.6)
    with pytest.raises(AttributeError, match="cannot call 'render'"):
        env.env_method("render")


def test_ppo_learns_to_balance(task):
    returns = []
    agents = SB3Learner().learn(
        task,
        seeds=[0],
        budget=Budget("quick", 20_480),
        log=lambda samples, **scalars: returns.append((samples, scalars["return"])),
    )
    assert [samples for samples, _ in returns] == [4096 * k for k in range(1, 6)]
    assert returns[-1][1] > 2 * returns[0][1]
    result = evaluate(task, agents, seeds=[0], stages=["test"], trials=100)["test"]
    assert result.raw[0] > 80.0  # chance is about 22


@pytest.mark.slow
def test_ppo_solves_cartpole_with_every_seed(task):
    agents = SB3Learner().learn(task, seeds=range(5), budget=Budget("full", 200_000), log=silent)
    for seed, agent in enumerate(agents):
        assert trial_metric(task, agent, seed=100 + seed, trials=100).mean() >= 475.0


@pytest.mark.slow
def test_ppo_beats_chance_at_deciding():
    task = load("EvidenceAccumulation-v0")
    agents = SB3Learner().learn(task, seeds=[0, 1], budget=Budget("quick", 60_000), log=silent)
    assert min(evaluate(task, agents, seeds=[0, 1], stages=["test"])["test"].score) > 0.2


def test_a_trial_task_is_a_game_of_one_step():
    task = load("OrientationDecoding-v0")
    agents = SMALL.learn(task, seeds=[0], budget=SHORT, log=silent)
    action, _ = agents[0].act(task.sample(5).x, None)
    assert action.shape == (5, 1, 2)
    assert np.abs(action).max() <= 1.0


@pytest.mark.parametrize("algorithm", ["PPO", "A2C"])
def test_a_seed_gives_the_same_weights_whatever_runs_beside_it(task, algorithm):
    settings = {} if algorithm == "A2C" else SMALL.settings
    learner = SB3Learner(algorithm, n_envs=8, n_steps=32, settings=settings)
    alone = learner.learn(task, seeds=[5], budget=SHORT, log=silent)
    beside = learner.learn(task, seeds=[3, 5], budget=SHORT, log=silent)
    torch.testing.assert_close(weights(alone[0]), weights(beside[1]), rtol=0, atol=0)
    assert not torch.equal(weights(beside[0]), weights(beside[1]))


def test_global_generators_are_left_alone(task):
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    SMALL.learn(task, seeds=[0], budget=SHORT, log=silent)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_isolation_ends_with_an_error_too():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="shape"), isolated(1):
        torch.rand(3).reshape(2, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_isolation_depends_on_all_its_numbers():
    drawn = []
    for numbers in [(1, 0), (1, 0), (1, 1), (2, 0)]:
        with isolated(*numbers):
            drawn.append((random.random(), np.random.rand(), float(torch.rand(()))))  # noqa: NPY002, S311
    assert drawn[0] == drawn[1]
    assert len({numbers[2] for numbers in drawn}) == 3


@pytest.mark.parametrize(
    ("samples", "shown"), [(40, 40), (300, 256), (600, 512)], ids=["less", "one", "two"]
)
def test_the_budget_is_whole_rollouts(task, samples, shown):
    seen = []
    SMALL.learn(
        task,
        seeds=[0],
        budget=Budget("smoke", samples),
        log=lambda number, **_: seen.append(number),
    )
    assert max(seen, default=shown) == shown


@pytest.mark.parametrize("name", [CARTPOLE, "neurotasks/OrientationDecoding-v0"])
def test_the_actor_answers_as_the_policy_does(name):
    with isolated(0):
        model = PPO("MlpPolicy", adapted(4, name), n_steps=8, batch_size=32, device="cpu")
    agent = actor(model.policy)
    space = load(name).observation_space
    x = np.random.Generator(np.random.PCG64(0)).normal(size=(6, 3, *space.shape))
    x = x.astype(np.float32)
    action, state = agent.act(x, None)
    expected, _ = model.policy.predict(x.reshape(18, *space.shape), deterministic=True)
    np.testing.assert_allclose(action.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)
    assert state is None


def test_a_policy_travels_as_onnx(task, tmp_path):
    pytest.importorskip("onnxruntime")
    from agents.onnx import OnnxAgent, export  # noqa: PLC0415

    agents = SMALL.learn(task, seeds=[0], budget=SHORT, log=silent)
    export(agents[0], task, tmp_path / "model.onnx")
    again = OnnxAgent(tmp_path / "model.onnx")
    one, two = (evaluate(task, [agent], seeds=[4], trials=20) for agent in (agents[0], again))
    assert one["test"].raw == two["test"].raw


def test_unknown_algorithms_are_refused():
    with pytest.raises(ValueError, match="there is no algorithm 'DQN'; there are A2C, PPO"):
        SB3Learner("DQN")
