from __future__ import annotations

import socket
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from neurotasks import load
from neurotasks.agent import Budget, silent
from neurotasks.card import Stage
from neurotasks.errors import MissingExtra
from neurotasks.rng import Draw
from neurotasks.task import Batch, StreamTask, tell

torch = pytest.importorskip("torch")

from agents.avalanche import avalanche  # noqa: E402
from agents.continual import AvalancheLearner  # noqa: E402
from agents.generative import VAE, vae_loss  # noqa: E402
from agents.heads import Headed  # noqa: E402
from agents.isolation import isolated  # noqa: E402
from agents.networks import MLP  # noqa: E402
from agents.strategies import STRATEGIES  # noqa: E402
from agents.strategy_models import Answering, Cosine, Features, every_head, with_last  # noqa: E402
from agents.training import TrainingDiverged  # noqa: E402

try:
    avalanche("avalanche.training")
except MissingExtra as missing:
    pytest.skip(str(missing), allow_module_level=True)

CLASSES, SIDE, SHOWN = 6, 4, 40
TRIAL = SIDE * SIDE + 8 + 8  # bytes of an image, its class and its task
CARD = load("ContinualDigits-v0").card
LONG = [name for name, strategy in STRATEGIES.items() if strategy.steps]
EVERY = sorted(STRATEGIES)


class Corners(StreamTask):
    """Noisy images, two classes in each of three experiences."""

    experiences = 3

    def __init__(self, told=False, steps=1, again=False):
        self.card = replace(CARD, steps=steps)
        self.told, self.steps, self.again = 3 * told, steps, again
        self.observation_space = spaces.Box(0, 255, (1 + self.told, SIDE, SIDE), np.uint8)
        self.action_space = spaces.Discrete(2 if told else CLASSES, start=5)
        self.patterns = Draw("Corners", "train", 0).integers("pattern", 256, (CLASSES, SIDE**2))[0]

    def trials(self, kind, seed, index):
        draw = Draw("Corners", "train", seed, index * SHOWN, len(kind))
        noise = draw.integers("noise", 60, (1, SIDE, SIDE))
        images = self.patterns[kind].reshape(-1, 1, SIDE, SIDE) * 0.75 + noise
        x = tell(images.astype(np.uint8), kind // 2, self.told)
        shape = (len(kind), self.steps)
        y = np.broadcast_to((kind % 2 if self.told else kind)[:, None] + 5, shape)
        mask = np.broadcast_to(np.arange(self.steps) == self.steps - 1, shape)
        table = {"group": kind // 2} | ({"task": kind // 2} if self.told else {})
        return Batch(np.stack([x] * self.steps, axis=1), y, mask, table)

    def experience(self, index, seed):
        first = 0 if self.again else 2 * index
        return self.trials(first + np.arange(SHOWN) % 2, seed, index)

    def test(self, seed, stage="test"):
        return self.trials(np.arange(SHOWN - SHOWN % CLASSES) % CLASSES, seed, 100)

    def trivial(self, stage="test"):
        raise NotImplementedError


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def learner(name, **settings):
    usual = {"width": 32, "batch": 16, "memory": 18, "learning_rate": 0.1, "device": "cpu"}
    return AvalancheLearner(name, **usual | settings)


def walk(student, task, seeds=(0,), experiences=2, samples=240):
    for experience in task.stream()[:experiences]:
        budget = Budget("smoke", samples)
        yield student.learn(experience, seeds=seeds, budget=budget, log=silent)


def weights(agent):
    return torch.cat([tensor.flatten().float() for tensor in agent.network.state_dict().values()])


def accuracy(agent, task, group):
    batch = task.test(0)
    batch = batch[batch.trials["group"] == group]
    action, _ = agent.act(batch.x, None)
    return float((action == batch.y)[batch.mask].mean())


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("name", EVERY)
def test_every_strategy_learns_and_a_seed_gives_the_same_weights(name, told, offline):
    task = Corners(told)
    _, alone = walk(learner(name), task, [5])
    student = learner(name)
    _, (other, beside) = walk(student, task, [3, 5])
    assert torch.isfinite(weights(beside)).all()
    torch.testing.assert_close(weights(alone[0]), weights(beside), rtol=0, atol=0)
    assert not torch.equal(weights(other), weights(beside))
    assert accuracy(next(walk(student, task))[0], task, 0) > 0.7
    assert len(student.held()) == 1


@pytest.mark.parametrize("name", LONG)
def test_trials_of_many_steps(name):
    task = Corners(steps=3)
    student = learner(name, network="gru")
    stream = walk(student, task, samples=480)
    assert accuracy(next(stream)[0], task, 0) > 0.7
    assert torch.isfinite(weights(next(stream)[0])).all()


@pytest.mark.parametrize("name", sorted(set(EVERY) - set(LONG)))
def test_who_learns_single_steps_says_so(name):
    found = f"'{name}' learns trials of one step, .*: naive, cumulative"
    with pytest.raises(ValueError, match=found):
        next(walk(learner(name), Corners(steps=3)))


def test_observations_that_are_no_images():
    class Floats(Corners):
        def __init__(self):
            super().__init__()
            self.observation_space = spaces.Box(-np.inf, np.inf, (SIDE * SIDE,), np.float32)

        def trials(self, *which):
            batch = super().trials(*which)
            return replace(batch, x=1000 + batch.x.reshape(*batch.x.shape[:2], -1) / 5.0)

    task = Floats()
    (agent,) = next(walk(learner("replay", learning_rate=0.03), task, samples=480))
    assert accuracy(agent, task, 0) > 0.7
    with pytest.raises(ValueError, match=r"'generative' draws images of bytes.*: naive"):
        next(walk(learner("generative"), task))


def test_only_classes_are_answered():
    task = Corners()
    metric = load("OrientationDecoding-v0").card.metric
    task.card = replace(
        CARD, metric=metric, stages={"test": Stage(trials=450, chance=1.0, ceiling=0.0)}
    )
    task.action_space = spaces.Box(-1, 1, (2,), np.float32)
    with pytest.raises(TypeError, match=r"answered in Box.*learn classes"):
        next(walk(learner("naive"), task))


@pytest.mark.parametrize("name", ["icarl", "slda", "cwr", "ar1"])
def test_who_builds_the_last_layer_needs_one(name):
    with pytest.raises(ValueError, match=f"'{name}' needs a network .* mlp, cnn.*, not 'gru'"):
        next(walk(learner(name, network="gru"), Corners()))


@pytest.mark.parametrize("name", ["icarl", "slda", "ar1"])
def test_images_can_go_through_a_cnn(name):
    (agent,) = next(walk(learner(name, network="cnn"), Corners(told=True), samples=480))
    assert accuracy(agent, Corners(told=True), 0) > 0.7


@pytest.mark.parametrize(
    ("name", "memory", "least"),
    [
        ("gdumb", 5, "class, 6"),
        ("icarl", 5, "class, 6"),
        ("er-ace", 0, "class, 6"),
        ("derpp", 1, "class, 6"),
        ("replay", 2, "experience, 3"),
        ("gem", 2, "experience, 3"),
        ("agem", 2, "experience, 3"),
    ],
)
def test_a_memory_that_is_too_small_is_refused(name, memory, least):
    found = f"memory of {memory} trials is too small for strategy '{name}'.* at least one .*{least}"
    with pytest.raises(ValueError, match=found):
        next(walk(learner(name, memory=memory), Corners()))
    next(walk(learner(name, memory=int(least[-1])), Corners()))


def test_classes_that_come_again():
    task = Corners(again=True)
    with pytest.raises(ValueError, match=r"'icarl' learns a class once; in experience 1 .*: naive"):
        list(walk(learner("icarl"), task))
    assert len(list(walk(learner("cwr"), task))) == 2


def test_weights_that_are_no_numbers_name_the_strength():
    found = r"'ewc' with seed 0 .* after experience 1 .* or the strength \(now 1e\+30\)"
    with pytest.raises(TrainingDiverged, match=found):
        list(walk(learner("ewc", strength=1e30), Corners()))


def test_joint_training_learns_the_stream_at_once():
    task, student, shown = Corners(), learner("joint"), []
    budget = Budget("smoke", 400)
    agents = [
        student.learn(e, seeds=[0], budget=budget, log=lambda samples, **_: shown.append(samples))
        for e in task.stream()
    ]
    assert shown[0] >= 3 * 400
    assert shown == shown[:1] * 3
    assert torch.equal(weights(agents[0][0]), weights(agents[2][0]))
    assert min(accuracy(agents[0][0], task, group) for group in range(3)) > 0.9


def test_what_is_held():
    task, held = Corners(), {}
    for name in EVERY:
        student = learner(name)
        _, (agent,) = walk(student, task)
        held[name] = student.held()[0]
        size = sum(weight.nbytes for weight in agent.network.parameters())
        old = sum(tensor.nbytes for tensor in agent.network.state_dict().values())
    assert held["naive"] == held["joint"] == 0
    assert held["cumulative"] == 2 * SHOWN * TRIAL
    assert held["replay"] == 18 * (TRIAL + 4)  # each with the weight of its place
    assert held["agem"] == 2 * 6 * TRIAL
    assert held["derpp"] == 18 * (TRIAL + 4 + 4 * CLASSES)  # and the logits
    assert held["lwf"] == old
    assert held["ewc"] == 2 * held["ewc-online"] == 4 * size
    assert held["mas"] == 2 * size
    assert held["si"] == 3 * size
    assert held["er-ace"] == 18 * (TRIAL + 4)
    assert held["gdumb"] == held["er-ace"] + old
    assert held["cwr"] == 4 * 4 * 32
    assert held["ar1"] > held["cwr"]
    assert held["icarl"] > 18 * SIDE * SIDE + size
    assert held["slda"] > 4 * 32 * 32
    assert held["generative"] > size


def test_gem_remembers_as_many_trials_of_each_experience():
    student = learner("gem")
    list(walk(student, Corners(), experiences=3))
    assert student.held() == [3 * 6 * TRIAL]


def test_streaming_lda_sees_a_trial_once():
    for samples, expected in ((10, 10), (1000, SHOWN)):
        shown = []
        learner("slda", batch=4).learn(
            Corners().stream()[0],
            seeds=[0],
            budget=Budget("smoke", samples),
            log=lambda number, shown=shown, **_: shown.append(number),
        )
        assert shown == [expected]


def test_synaptic_intelligence_holds_on_to_what_matters():
    task = Corners(told=True)
    moved = []
    for strength in (0.0, 5e4):
        student = learner("si", strength=strength, momentum=0.0, learning_rate=0.03)
        (first,) = next(walk(student, task))
        before = weights(first).clone()
        importances = student._running[0].strategy.plugins[1].ewc_data[1].values()
        assert all((each.data >= 0).all() for each in importances)
        assert sum(float(each.data.sum()) for each in importances) > 0
        budget = Budget("smoke", 240)
        (after,) = student.learn(task.stream()[1], seeds=[0], budget=budget, log=silent)
        moved.append(float((weights(after) - before).norm()))
    assert moved[1] < 0.9 * moved[0]


def test_the_nearest_mean_answers():
    means = torch.nn.functional.normalize(torch.rand(5, 8), dim=1)
    means[3] = 0
    features = torch.rand(50, 8)
    seen = torch.tensor([0, 1, 2, 4])
    distance = torch.cdist(torch.nn.functional.normalize(features, dim=1), means[seen])
    assert torch.equal(Cosine(means)(features).argmax(1), seen[distance.argmin(1)])
    assert not (Cosine(means)(-features).argmax(1) == 3).any()


def test_all_heads_answer_where_no_task_is_told():
    task = Corners(told=True)
    network = Headed(task.observation_space, 2, 3, lambda space, outputs: MLP(space, outputs, 8))
    x = torch.tensor(task.test(0).x)
    model, told = every_head(network), torch.tensor(task.test(0).trials["task"])
    every = torch.stack(list(model(x, None).values()), dim=1)
    assert torch.equal(model(x), every[torch.arange(len(x)), told])
    assert torch.equal(every.flatten(1), Answering(network, whole=True)(x))
    features = Features(network)(x)
    assert torch.equal(features, Answering(with_last(network, torch.nn.Identity()), whole=True)(x))
    assert features.shape == (len(x), 8)


def test_a_generator_draws_what_it_has_seen():
    images = torch.zeros(64, 1, 1, SIDE, SIDE)
    images[::2, ..., :2] = 250
    with isolated(0):
        model = VAE(images.shape[1:])
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(200):
            optimizer.zero_grad()
            vae_loss(images, model(images)).backward()
            optimizer.step()
        drawn = model.generate(100)
    assert drawn.shape == (100, 1, 1, SIDE, SIDE)
    away = [(drawn - kind).abs().flatten(1).mean(dim=1) for kind in images[:2]]
    assert (torch.minimum(*away) < 30).float().mean() > 0.7
    assert all((each < 30).any() for each in away)
