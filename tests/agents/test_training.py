from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from array_api_compat import torch as torch_namespace

import neurotasks
from agents.linear import logistic
from agents.networks import readout
from agents.training import TorchLearner, TrainingDiverged
from agents.trials import Trials
from neurotasks.agent import Agent, Budget, Learner, silent
from neurotasks.errors import UnknownStage
from neurotasks.evaluate import evaluate
from neurotasks.task import Batch

ORIENTATION = "OrientationDecoding-v0"
TINY = Budget("smoke", 300)


def learn(task, learner, budget=TINY, seeds=(0,), log=silent):
    return learner.learn(task, seeds=seeds, budget=budget, log=log)


def score(task, agents):
    seeds = range(len(agents))
    return evaluate(task, agents, seeds=seeds, stages=["test"])["test"].score


def weights(agent):
    return torch.cat([p.detach().flatten() for p in agent.network.parameters()])


def test_it_keeps_the_protocols(echo):
    learner = TorchLearner("gru", width=8)
    assert isinstance(learner, Learner)
    assert isinstance(learn(echo, learner)[0], Agent)


def test_mlp_reads_an_orientation():
    task = neurotasks.load(ORIENTATION)
    agents = learn(task, TorchLearner("mlp"), Budget("smoke", 8000), seeds=(0, 1))
    assert min(score(task, agents)) > 0.9


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_digits_are_named(network):
    task = neurotasks.load("ImageClassificationDigits-v0")
    learner = TorchLearner(network, batch=32)
    assert score(task, learn(task, learner, Budget("smoke", 8000)))[0] > 0.85


def test_gru_masters_the_echo_and_mlp_cannot(echo, echo_class):
    for task in (echo, echo_class):
        gru = TorchLearner("gru", width=32, learning_rate=1e-2, batch=32)
        assert score(task, learn(task, gru, Budget("smoke", 4000)))[0] > 0.9
        assert abs(score(task, learn(task, TorchLearner("mlp", width=16)))[0]) < 0.1


def test_gru_remembers_more_of_a_song_than_a_bigram_model():
    task = neurotasks.load("SequencePrediction-v0")
    gru = TorchLearner("gru", width=32, learning_rate=2e-2, batch=16, checks=2)
    bigrams = logistic().learn(task, seeds=[0], budget=Budget("smoke", 500), log=silent)
    gru = learn(task, gru, Budget("smoke", 2000))
    assert score(task, gru)[0] > score(task, bigrams)[0] + 0.1


def test_answers_do_not_depend_on_how_trials_are_cut(echo):
    agent = learn(echo, TorchLearner("gru", width=8))[0]
    x = echo.sample(900, 3).x  # more steps than are answered at once
    whole, end = agent.act(x, None)
    np.testing.assert_allclose(agent.act(x[700:], None)[0], whole[700:], rtol=1e-4, atol=1e-5)
    state, parts = None, []
    for step in range(x.shape[1]):
        answer, state = agent.act(x[:, step : step + 1], state)
        parts.append(answer)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state, end, rtol=1e-4, atol=1e-5)


def test_an_answer_is_of_the_kind_of_the_observation(echo_class):
    agent = learn(echo_class, TorchLearner("gru", width=8))[0]
    x = echo_class.sample(5, 3).x
    answer, _ = agent.act(x, None)
    assert isinstance(answer, np.ndarray)
    assert answer.dtype == np.int64
    again, _ = agent.act(torch.tensor(x), None)
    np.testing.assert_array_equal(again.numpy(), answer)


def test_an_agent_counts_its_parameters():
    agent = learn(neurotasks.load(ORIENTATION), TorchLearner("mlp", width=10))[0]
    assert agent.parameters == 64 * 10 + 10 + 10 * 10 + 10 + 10 * 2 + 2


@pytest.mark.parametrize(
    ("task", "network"),
    [(ORIENTATION, "mlp"), ("ImageClassificationDigits-v0", "cnn"), ("echo", "gru")],
)
def test_a_seed_gives_the_same_weights_bit_for_bit(task, network, echo):
    task = echo if task == "echo" else neurotasks.load(task)
    first, other = learn(task, TorchLearner(network, width=16), seeds=(5, 6))
    torch.manual_seed(123)  # what others do with the global generator is no matter
    again, _ = learn(task, TorchLearner(network, width=16), seeds=(5, 6))
    assert torch.equal(weights(first), weights(again))
    alone = learn(task, TorchLearner(network, width=16), seeds=(5,))[0]
    torch.testing.assert_close(weights(first), weights(alone), rtol=1e-4, atol=1e-5)
    assert not torch.equal(weights(first), weights(other))


def test_global_generators_and_threads_stay_as_they_are():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    numpy_before = copy.deepcopy(np.random.get_state())  # noqa: NPY002 - it must stay untouched
    learn(neurotasks.load(ORIENTATION), TorchLearner())
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before[1])  # noqa: NPY002
    assert torch.get_num_threads() == threads


def test_the_budget_is_kept_to_the_sample(echo):
    log = []
    learner = TorchLearner("mlp", width=8, batch=64, checks=5)
    learn(echo, learner, Budget("smoke", 2345), log=lambda samples, **s: log.append((samples, s)))
    assert log[-1][0] == 2345
    assert len(log) == 5
    assert all(set(scalars) == {"loss", "validation"} for _, scalars in log)


def test_generated_trials_are_shown_once_and_recorded_ones_again():
    def shown(task, samples):
        trials = Trials(task, (0, 1), "train", torch.device("cpu"))
        first, answer = trials.draw(range(samples)), readout(task.card, task.action_space)
        batches = trials.batches(first, samples, 1000, answer, lambda x, _: x)
        return torch.cat([x.clone() for x, _, _ in batches], dim=1).flatten(2)

    fresh = shown(neurotasks.load(ORIENTATION), 25_000)
    assert fresh.shape[:2] == (2, 25_000)
    assert len(fresh.flatten(0, 1).unique(dim=0)) == 50_000
    digits = neurotasks.load("ImageClassificationDigits-v0")
    size = digits.card.splits["train"]
    for rows in shown(digits, 2 * size):
        assert torch.equal(rows[:size].unique(dim=0), rows[size:].unique(dim=0))
        assert not torch.equal(rows[:size], rows[size:])


def test_the_best_weights_on_validation_are_kept():
    task = neurotasks.load(ORIENTATION)
    log = []
    learner = TorchLearner(learning_rate=0.1, checks=10)  # too fast: progress goes up and down
    agent = learn(task, learner, Budget("smoke", 4000), log=lambda _, **s: log.append(s))[0]
    batch = task.sample(1000, 0, "validation")
    error = task.card.metric.values(agent.act(batch.x, None)[0], batch.y).mean()
    assert error == pytest.approx(min(scalars["validation"] for scalars in log))


def test_a_gpu_would_be_shown_the_same_trials():
    task = neurotasks.load(ORIENTATION)
    (ours,) = Trials(task, (3,), "train", torch.device("cpu")).draw(range(100))
    theirs = task.sample(100, 3, xp=torch_namespace, device="cpu")
    torch.testing.assert_close(ours.x, theirs.x, rtol=1e-4, atol=1e-4)


def test_unscored_steps_teach_nothing(echo):
    learner = TorchLearner("gru", width=8)
    generate = echo.generate

    def other_truth(draw):
        batch = generate(draw)
        return Batch(batch.x, np.where(batch.mask, batch.y, 3), batch.mask)

    first = weights(learn(echo, learner)[0])
    echo.generate = other_truth
    assert torch.equal(weights(learn(echo, learner)[0]), first)


def test_a_loss_that_is_no_number_is_named():
    task = neurotasks.load(ORIENTATION)
    with pytest.raises(TrainingDiverged, match=r"lower the learning rate \(now 1e\+30\)"):
        learn(task, TorchLearner(learning_rate=1e30))


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="there are mlp, cnn, "):
        TorchLearner("oracle")


def test_an_unknown_split_is_refused(echo):
    with pytest.raises(UnknownStage, match="has no split 'train9'"):
        learn(echo, TorchLearner(split="train9"))


def test_an_empty_budget_is_refused(echo):
    with pytest.raises(ValueError, match="teaches nothing"):
        learn(echo, TorchLearner(), Budget("smoke", 0))


@pytest.mark.parametrize("task", ["CartPole-v0", "ContinualDigits-v0"])
def test_other_forms_are_refused(task):
    with pytest.raises(TypeError, match="no trial task"):
        learn(neurotasks.load(task), TorchLearner())


@pytest.mark.gpu
def test_it_learns_on_a_gpu(echo):
    task = neurotasks.load(ORIENTATION)
    agents = learn(task, TorchLearner(device="cuda"), Budget("smoke", 8000))
    assert next(agents[0].network.parameters()).device.type == "cuda"
    assert score(task, agents)[0] > 0.9
    gru = TorchLearner("gru", width=32, learning_rate=1e-2, batch=32, device="cuda")
    assert score(echo, learn(echo, gru, Budget("smoke", 4000)))[0] > 0.9
