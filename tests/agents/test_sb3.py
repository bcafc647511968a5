from __future__ import annotations

import dataclasses
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

from stable_baselines3 import DQN, PPO, SAC  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize  # noqa: E402

from agents.isolation import isolated  # noqa: E402
from agents.sb3 import SB3Learner, TaskVecEnv, actor, zoo  # noqa: E402
from agents.training import TrainingDiverged  # noqa: E402
from agents.zoo import ZOO  # noqa: E402

CARTPOLE = "neurotasks/CartPole-v0"
SHORT = Budget("smoke", 512)
SMALL = SB3Learner(n_envs=8, n_steps=32)
FEWER = {"DQN": {"gradient_steps": 1}, "SAC": {"gradient_steps": 1}}


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
    with pytest.raises(ValueError, match="there is no algorithm 'TD3'; there are A2C, DQN, PPO"):
        SB3Learner("TD3")


SMALL_OFF_POLICY = {"learning_starts": 100, "batch_size": 16, "buffer_size": 1000}
OTHERS = {
    "DQN": SB3Learner("DQN", n_envs=2, settings=SMALL_OFF_POLICY | {"train_freq": 8}),
    "SAC": SB3Learner("SAC", n_envs=2, settings=SMALL_OFF_POLICY | {"train_freq": 8}),
    "RecurrentPPO": SB3Learner(
        "RecurrentPPO",
        policy="MlpLstmPolicy",
        n_envs=4,
        n_steps=16,
        settings={"batch_size": 64, "n_epochs": 1, "policy_kwargs": {"lstm_hidden_size": 8}},
        normalize=True,
    ),
}


@pytest.fixture(params=OTHERS)
def other(request):
    """Return a learner and a task that it learns."""
    if request.param == "RecurrentPPO":
        pytest.importorskip("sb3_contrib")
    return OTHERS[request.param], load(
        "OrientationDecoding-v0" if request.param == "SAC" else "CartPole-v0"
    )


def test_other_algorithms_give_the_same_weights_whatever_runs_beside(other):
    learner, task = other
    alone = learner.learn(task, seeds=[5], budget=SHORT, log=silent)
    beside = learner.learn(task, seeds=[3, 5], budget=SHORT, log=silent)
    torch.testing.assert_close(weights(alone[0]), weights(beside[1]), rtol=0, atol=0)
    assert not torch.equal(weights(beside[0]), weights(beside[1]))
    assert alone[0].samples == 512


def test_other_algorithms_travel_as_onnx(other, tmp_path):
    pytest.importorskip("onnxruntime")
    from agents.onnx import OnnxAgent, export  # noqa: PLC0415

    learner, task = other
    agent = learner.learn(task, seeds=[0], budget=SHORT, log=silent)[0]
    export(agent, task, tmp_path / "model.onnx")
    again = OnnxAgent(tmp_path / "model.onnx")
    one, two = (evaluate(task, [player], seeds=[4], trials=20) for player in (agent, again))
    np.testing.assert_allclose(one["test"].raw, two["test"].raw, rtol=1e-4)


def test_a_recurrent_policy_answers_with_its_state():
    """A block at once equals step by step, and equals what the policy itself predicts."""
    pytest.importorskip("sb3_contrib")
    from sb3_contrib import RecurrentPPO  # noqa: PLC0415

    env = VecNormalize(adapted(4))
    with isolated(0):
        model = RecurrentPPO(
            "MlpLstmPolicy", env, n_steps=8, batch_size=32, n_epochs=1, device="cpu"
        )
        model.learn(64)
    agent = actor(model.policy, env)
    x = np.random.Generator(np.random.PCG64(0)).normal(size=(6, 5, 4)).astype(np.float32)
    whole, last = agent.act(x, None)
    state, theirs = None, None
    for step in range(5):
        now, state = agent.act(x[:, step : step + 1], state)
        seen = env.normalize_obs(x[:, step])
        expected, theirs = model.policy.predict(seen, theirs, deterministic=True)
        np.testing.assert_array_equal(now[:, 0], whole[:, step])
        np.testing.assert_array_equal(now[:, 0], expected)
    torch.testing.assert_close(state, last)
    assert last.shape == (2, 6, 256)


@pytest.mark.parametrize("algorithm", [DQN, SAC])
def test_the_actor_answers_as_policies_without_critic_do(algorithm):
    name = CARTPOLE if algorithm is DQN else "neurotasks/OrientationDecoding-v0"
    with isolated(0):
        model = algorithm("MlpPolicy", adapted(2, name), device="cpu", buffer_size=100)
    space = load(name).observation_space
    x = np.random.Generator(np.random.PCG64(0)).normal(size=(6, 3, *space.shape))
    x = x.astype(np.float32)
    action, _ = actor(model.policy).act(x, None)
    expected, _ = model.policy.predict(x.reshape(18, *space.shape), deterministic=True)
    np.testing.assert_allclose(action.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def test_the_spaces_of_a_task_are_not_drawn_from(task):
    drawn = task.action_space.np_random.bit_generator.state
    OTHERS["DQN"].learn(task, seeds=[0], budget=SHORT, log=silent)
    assert task.action_space.np_random.bit_generator.state == drawn


def test_a_seed_that_diverges_fails_alone(task, monkeypatch):
    learn = SB3Learner._learn_one

    def poisoned(self, name, seed, samples, log):
        agent = learn(self, name, seed, samples, log)
        if seed == 1:
            next(agent.network.parameters()).data[:] = torch.nan
        return agent

    monkeypatch.setattr(SB3Learner, "_learn_one", poisoned)
    with pytest.raises(TrainingDiverged, match="for seed 1: lower the learning rate") as caught:
        SMALL.learn(task, seeds=[0, 1, 2], budget=SHORT, log=silent)
    assert sorted(caught.value.agents) == [0, 2]
    assert list(caught.value.failures) == [1]


def test_a_rate_that_is_far_too_high_is_a_divergence(task):
    """Distributions refuse weights that are no numbers; that is no other error."""
    settings = {"batch_size": 256, "learning_rate": 1e30}
    learner = SB3Learner(n_envs=8, n_steps=32, settings=settings)
    with pytest.raises(TrainingDiverged):
        learner.learn(task, seeds=[0], budget=SHORT, log=silent)


@pytest.mark.parametrize(
    ("algorithm", "name"), [(a, name) for a, tasks in ZOO.items() for name in tasks]
)
def test_every_preset_of_the_zoo_is_taken_by_its_algorithm(algorithm, name):
    if algorithm == "RecurrentPPO":
        pytest.importorskip("sb3_contrib")
    learner = zoo(algorithm, name)
    continuous = name in ("Pendulum", "MountainCarContinuous")
    stand_in = load("OrientationDecoding-v0" if continuous else "CartPole-v0")
    few = dataclasses.replace(learner, settings={**learner.settings, **FEWER.get(algorithm, {})})
    agents = few.learn(stand_in, seeds=[0], budget=Budget("smoke", 16), log=silent)
    assert agents[0].samples == 16


def test_the_zoo_says_what_it_has():
    with pytest.raises(ValueError, match="no settings of SAC on CartPole; it has PPO on CartPole"):
        zoo("SAC", "CartPole")


@pytest.mark.slow
def test_the_zoos_ppo_learns_to_balance(task):
    returns = []
    agents = zoo("PPO", "CartPole").learn(
        task,
        seeds=[0],
        budget=Budget("quick", 40_000),
        log=lambda samples, **scalars: returns.append(scalars),
    )
    assert evaluate(task, agents, seeds=[0], stages=["test"], trials=100)["test"].raw[0] > 300.0
    assert returns[-1]["cpu_seconds"] > returns[0]["cpu_seconds"] > 0.0
