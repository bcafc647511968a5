from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from neurotasks import load
from neurotasks.errors import MissingExtra

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from torch import nn  # noqa: E402

from agents import avalanche_streams  # noqa: E402
from agents.avalanche import avalanche, quiet  # noqa: E402
from agents.avalanche_streams import benchmark  # noqa: E402
from agents.isolation import isolated  # noqa: E402
from tests.agents.blobs import CLASSES, SIDE, Blobs, dropping, trained, weights  # noqa: E402

try:
    training = avalanche("avalanche.training")
except MissingExtra as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.fixture(scope="module")
def stream():
    return benchmark(Blobs(), dtype=torch.float32)


def test_any_strategy_of_the_library_learns_a_stream():
    """The example of the module's docstring, run as it stands there."""
    lines = avalanche_streams.__doc__.split("\n\n")[1:3]
    code = "\n".join(line[4:] for line in "\n\n".join(lines).splitlines())
    names = {"neurotasks": __import__("neurotasks"), "torch": torch}
    with quiet(), isolated(0):
        exec(code, names)  # noqa: S102 - the point is that it can be copied
        last = names["strategy"].eval(names["stream"].test_stream)
    assert last["Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp004"] > 0.8


def test_experiences_hold_the_trials_of_the_stream(stream):
    task = Blobs()
    for index, experience in enumerate(stream.train_stream):
        batch = task.experience(index, 0)
        x, y, label = experience.dataset[5]
        np.testing.assert_allclose(x, batch.x[5, 0] / 255, rtol=1e-6)
        assert (int(y), label) == (batch.y[5, 0] - 7, 0)
        assert list(experience.dataset.targets) == (batch.y[:, 0] - 7).tolist()
        assert experience.classes_in_this_experience == [2 * index, 2 * index + 1]
        assert set(experience.classes_seen_so_far) == set(range(2 * index + 2))
        assert experience.benchmark is stream
        assert experience.origin_stream.name == "train"
        assert (experience.task_label, experience.current_experience) == (0, index)
    assert stream.n_classes_per_exp == [2, 2, 2]
    assert stream.classes_order == list(range(CLASSES))


def test_bytes_stay_bytes_unless_floats_are_asked_for():
    x, _, _ = benchmark(Blobs()).train_stream[1].dataset[0]
    assert x.dtype == torch.uint8
    np.testing.assert_array_equal(x, Blobs().experience(1, 0).x[0, 0])
    x, _, _ = benchmark(Blobs(), dtype=torch.float64).train_stream[1].dataset[0]
    assert x.dtype == torch.float64
    assert 0.4 < x.max() <= 1


@pytest.mark.parametrize(("groups", "parts"), [(3, 3), (2, 1)])
def test_the_test_set_is_split_where_groups_are_experiences(groups, parts):
    stream = benchmark(Blobs(groups=groups))
    assert [len(e.dataset) for e in stream.test_stream] == [30 // parts] * parts
    for index, experience in enumerate(stream.test_stream[: parts - 1]):
        assert experience.classes_in_this_experience == [2 * index, 2 * index + 1]


def test_told_tasks_become_labels_and_the_planes_go():
    stream = benchmark(Blobs(told=3), dtype=torch.float32)
    plain = benchmark(Blobs(), dtype=torch.float32)
    for index, experience in enumerate(stream.train_stream):
        x, _, label = experience.dataset[0]
        assert torch.equal(x, plain.train_stream[index].dataset[0][0])
        assert (label, experience.task_label) == (index, index)
    kept, _, _ = benchmark(Blobs(told=3), planes=True).train_stream[1].dataset[0]
    assert kept.shape == (4, SIDE, SIDE)
    assert kept[1:, 0, 0].tolist() == [0, 255, 0]


def test_a_whole_test_set_keeps_the_label_of_each_trial():
    (experience,) = benchmark(Blobs(told=3, groups=2)).test_stream
    assert experience.task_labels == [0, 1, 2]
    assert [label for _, _, label in experience.dataset] == [i % CLASSES // 2 for i in range(30)]


def test_multi_head_models_of_the_library_learn_told_streams():
    models = avalanche("avalanche.models")

    class Heads(models.MultiTaskModule):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Flatten(), nn.Linear(25, 16), nn.ReLU())
            self.heads = models.MultiHeadClassifier(16, initial_out_features=CLASSES)

        def forward(self, x, task_labels):
            return self.heads(self.features(x), task_labels)

    stream = benchmark(Blobs(told=3), dtype=torch.float32)
    found = [
        trained(training.Replay, stream, gather=gather, network=Heads, mem_size=20)
        for gather in (False, True)
    ]
    assert set(found[0].model.heads.classifiers) == {"0", "1", "2"}
    assert torch.equal(weights(found[0]), weights(found[1]))


def test_steps_without_a_score_are_passed_over():
    stream = benchmark(Blobs(steps=3), dtype=torch.float32)
    x, y, _ = stream.train_stream[2].dataset[4]
    assert x.shape == (3, 1, SIDE, SIDE)
    assert y.tolist() == [-100, y[1], y[1]]
    assert list(stream.train_stream[2].dataset.targets)[4] == y[2]

    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = dropping()

        def forward(self, x):
            return self.inner(x.flatten(0, 1)).unflatten(0, x.shape[:2]).movedim(-1, 1)

    found = [
        trained(training.Replay, stream, gather=gather, network=Steps, mem_size=20)
        for gather in (False, True)
    ]
    assert torch.isfinite(weights(found[0])).all()
    assert torch.equal(weights(found[0]), weights(found[1]))


def test_trials_without_a_score_are_left_out():
    class Some(Blobs):
        def trials(self, y, seed):
            batch = super().trials(y, seed)
            batch.mask[::3] = False
            return batch

    assert [len(e.dataset) for e in benchmark(Some()).train_stream] == [40] * 3


def test_a_lazy_stream_is_made_and_dropped_as_it_goes():
    task = Blobs()
    train = benchmark(task, stage=None, lazy=True).train_stream
    assert task.loaded == []
    assert train[0].future_classes is None
    assert task.loaded == [0]
    assert train[1].previous_classes == [0, 1]
    assert task.loaded == [0, 1]
    train.drop_previous_experiences(0)
    with pytest.raises(RuntimeError, match="Experience 0 has been dropped"):
        train[0]
    assert len(benchmark(task, stage=None).test_stream) == 0


def test_only_streams_of_classes_become_benchmarks():
    with pytest.raises(TypeError, match=r"CartPole-v0 is no stream; .* made of a StreamTask"):
        benchmark(load("CartPole-v0"))

    class Point(Blobs):
        action_space = spaces.Box(-1, 1, (2,), np.float32)

    with pytest.raises(TypeError, match=r"answered in Box.*with a Discrete action space"):
        benchmark(Point())


def test_a_stream_of_worlds_becomes_no_benchmark():
    class Worlds(type(load("CartPole-v0"))):
        experiences = 2

    with pytest.raises(TypeError, match="CartPole-v0 is a stream of worlds"):
        benchmark(Worlds())
