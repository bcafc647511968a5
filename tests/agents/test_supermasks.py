from __future__ import annotations

import numpy as np
import pytest

from neurotasks import load
from neurotasks.agent import Budget, silent
from neurotasks.continual import evaluate_stream

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from torch import nn  # noqa: E402

from agents.heads import split_task  # noqa: E402
from agents.onnx import ExportError, export  # noqa: E402
from agents.stack import Layout  # noqa: E402
from agents.supermasks import INFERENCES, SupermaskLearner, _lowest  # noqa: E402
from neurotasks.onnx_agent import OnnxAgent  # noqa: E402

SHORT = Budget("smoke", 300)
TOLD, UNTOLD = "SplitDigitsTask-v0", "SplitDigitsDomain-v0"


def learner(**settings):
    return SupermaskLearner(**{"width": 16, "device": "cpu"} | settings)


def walk(one, stream, seeds, experiences=3):
    for experience in load(stream).stream()[:experiences]:
        agents = one.learn(experience, seeds=seeds, budget=SHORT, log=silent)
    return agents


def kept(network, mask):
    """Return the matrices of an MLP in one mask, as dense products take them."""
    views = Layout.of(network.inner).views(mask[None].float())
    return [
        network.inner.get_parameter(f"layers.{layer}.weight") * views[f"layers.{layer}.weight"][0]
        for layer in (0, 2, 4)
    ]


def logits(matrices, images):
    below = images.flatten(1).float() / 255
    for matrix in matrices[:-1]:
        below = (below @ matrix.T).relu()
    return below @ matrices[-1].T


def test_weights_are_signed_constants_and_never_change():
    one = learner(density=0.25)
    agents = walk(one, TOLD, [0, 1], experiences=1)
    before = [p.detach().clone() for p in agents[0].network.parameters()]
    after = list(walk_on(one, TOLD, 1)[0].network.parameters())
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(old, new, rtol=0, atol=0)
        constant = (2 / (0.25 * old.shape[1])) ** 0.5 if old.ndim == 2 else 0.0
        torch.testing.assert_close(old.abs(), torch.full_like(old, constant))


def walk_on(one, stream, index):
    experience = load(stream).stream()[index]
    return one.learn(experience, seeds=one.running.seeds, budget=SHORT, log=silent)


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_a_mask_keeps_a_part_of_each_layer(density):
    network = walk(learner(density=density), TOLD, [0], experiences=1)[0].network
    for name, view in Layout.of(network.inner).views(network.masks.float()).items():
        share = view[0].mean().item()
        assert share == (1.0 if "bias" in name else pytest.approx(density, abs=0.02))


def test_scores_learn_as_by_hand():
    """A straight-through estimator written with automatic derivatives."""
    one, seed, task = learner(learning_rate=0.5), 4, load(UNTOLD)
    network = walk(one, UNTOLD, [seed], experiences=1)[0].network
    order = torch.Generator().manual_seed(seed)
    layout = Layout.of(network.inner)
    drawn = layout.views((2 * torch.rand(layout.size, generator=order) - 1)[None])
    names = [name for name in drawn if "weight" in name]
    scores = [drawn[name][0] / drawn[name].shape[2] ** 0.5 for name in names]
    scores = [score.clone().requires_grad_() for score in scores]
    fixed = [network.inner.get_parameter(name).detach() for name in names]
    optimiser = torch.optim.SGD(scores, lr=0.5, momentum=0.9)
    batch = task.experience(0, seed)
    x, y = torch.tensor(batch.x[:, 0]), torch.tensor(batch.y[:, 0])
    rows = torch.cat([torch.randperm(len(x), generator=order) for _ in range(2)])[:320]

    def chosen():
        return [(score >= score.flatten().sort().values[-(score.numel() // 2)]) for score in scores]

    for part in rows.split(32):
        through = [m + s - s.detach() for m, s in zip(chosen(), scores, strict=True)]
        output = logits([w * m for w, m in zip(fixed, through, strict=True)], x[part])
        optimiser.zero_grad()
        nn.functional.cross_entropy(output, y[part]).backward()
        optimiser.step()
    found = layout.views(network.masks[:1].float())
    same = [(found[n][0] == m).float().mean() for n, m in zip(names, chosen(), strict=True)]
    assert min(same) > 0.995  # scores that are all but equal may change their order


@pytest.mark.parametrize("stream", [TOLD, UNTOLD])
def test_seeds_side_by_side_learn_what_each_learns_alone(stream):
    beside = walk(learner(), stream, [0, 3, 8])
    for agent, seed in zip(beside, (0, 3, 8), strict=True):
        alone = walk(learner(), stream, [seed])[0]
        assert (agent.network.masks == alone.network.masks).float().mean() > 0.995
        torch.testing.assert_close(
            agent.network.inner.state_dict(), alone.network.inner.state_dict(), rtol=0, atol=0
        )
    assert (beside[0].network.masks == beside[1].network.masks).float().mean() < 0.7


def test_told_agents_answer_with_the_mask_of_the_task():
    agent = walk(learner(), TOLD, [0])[0]
    x = load(TOLD).test(0).x
    images, task = split_task(torch.tensor(x), 5)
    answers = torch.stack(
        [logits(kept(agent.network, mask), images[:, 0]) for mask in agent.network.masks]
    )
    expected = answers[task[:, 0], torch.arange(len(x))].argmax(-1)
    np.testing.assert_array_equal(agent.act(x, None)[0][:, 0], expected)
    assert torch.equal(agent.network.masks[3], agent.network.masks[2])  # the newest so far
    assert not torch.equal(agent.network.masks[1], agent.network.masks[2])


@pytest.mark.parametrize("inference", INFERENCES)
def test_untold_agents_find_the_surest_mask(inference):
    network = walk(learner(inference=inference), UNTOLD, [0])[0].network
    x = torch.tensor(load(UNTOLD).test(0).x[:40])
    matrices = [kept(network, mask) for mask in network.masks]
    assert len(matrices) == 3  # of the experiences so far
    if inference == "entropy":
        every = torch.stack([logits(one, x[:, 0]) for one in matrices])
        slopes = torch.distributions.Categorical(logits=every).entropy().T
    else:
        slopes = torch.stack([by_hand(matrices, image) for image in x[:, 0]])
    expected = slopes.argmin(dim=1)
    assert len(expected.unique()) > 1
    answers = torch.stack([logits(one, x[:, 0]) for one in matrices])
    torch.testing.assert_close(
        network(x)[0][:, 0], answers[expected, torch.arange(len(x))], rtol=1e-3, atol=1e-4
    )


def by_hand(matrices, image):
    """Return the derivatives of one image's entropy with respect to the shares of the masks."""
    share = torch.full((len(matrices),), 1 / len(matrices), requires_grad=True)
    mixed = [sum(a * m for a, m in zip(share, layer, strict=True)) for layer in zip(*matrices)]  # noqa: B905 - of equal length
    entropy = torch.distributions.Categorical(logits=logits(mixed, image[None])).entropy()
    return torch.autograd.grad(entropy.sum(), share)[0]


def evaluated(stream, **settings):
    budget = Budget("quick", 20 * 1347)
    one = learner(width=128, **settings)
    _, found = evaluate_stream(load(stream), one, seeds=[0, 1, 2], budget=budget, log=silent)
    return found["test"]


def test_told_the_task_nothing_is_forgotten():
    found = evaluated(TOLD)
    assert min(found.raw) > 0.98
    assert found.extra["forgetting"] == [0.0] * 3
    bits = 64 * 128 + 128 * 128 + 128 * 2
    assert found.extra["held_bytes"] == [[bits // 8 * count for count in range(1, 6)]] * 3


def test_untold_it_does_better_than_a_network_that_forgets():
    chance = load(UNTOLD).card.stages["test"].chance
    one, other = (np.mean(evaluated(UNTOLD, inference=name).raw) for name in INFERENCES)
    assert chance + 0.1 < one < other
    assert other > 0.75
    assert np.mean(evaluated("ContinualDigits-v0", inference="entropy").raw) > 0.55


def test_a_network_of_convolutions_has_masks_too():
    one, first = learner(network="cnn", width=32), load(TOLD).stream()[0]
    agents = one.learn(first, seeds=[0, 1], budget=Budget("quick", 3000), log=silent)
    network = agents[0].network
    shares = Layout.of(network.inner).views(network.masks[:1].float())
    assert shares["layers.3.weight"].mean() == pytest.approx(0.5, abs=0.01)
    x = load(TOLD).test(0)
    first = x.trials["group"] == 0
    assert (agents[0].act(x.x, None)[0] == x.y)[first].mean() > 0.9


@pytest.mark.parametrize(("stream", "inference"), [(TOLD, "gradient"), (UNTOLD, "entropy")])
def test_agents_without_derivatives_can_be_exported(stream, inference, tmp_path):
    path = tmp_path / "agent.onnx"
    agent = walk(learner(inference=inference), stream, [0])[0]
    export(agent, load(stream), path)
    x = load(stream).test(0).x
    np.testing.assert_array_equal(OnnxAgent(path).act(x, None)[0], agent.act(x, None)[0])


@pytest.mark.slow
def test_agents_with_derivatives_cannot_be_exported(tmp_path):
    agent = walk(learner(inference="gradient"), UNTOLD, [0])[0]
    with pytest.raises(ExportError):
        export(agent, load(UNTOLD), tmp_path / "agent.onnx")


def test_the_lowest_of_the_highest():
    scores = torch.rand(4, 101, generator=torch.Generator().manual_seed(0))
    for count in (1, 50, 101):
        expected = scores.topk(count).values[:, -1:]
        torch.testing.assert_close(_lowest(scores, count), expected, rtol=0, atol=0)


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(ValueError, match=r"above 0 to 1, not 0"):
        learner(density=0)
    with pytest.raises(ValueError, match="there is no 'guess'; there are gradient, entropy"):
        learner(inference="guess")
    with pytest.raises(TypeError, match="a gru remembers"):
        walk(learner(network="gru"), "ContinualDigits-v0", [0])


def test_a_task_is_learned_in_one_experience():
    kind = type(load(TOLD))

    class Again(kind):
        card = load(TOLD).card

        def experience(self, index, seed):
            return super().experience(0, seed)

    one, stream = learner(), Again().stream()
    one.learn(stream[0], seeds=[0], budget=SHORT, log=silent)
    with pytest.raises(ValueError, match=r"shows the tasks \[0\] after \[0\]"):
        one.learn(stream[1], seeds=[0], budget=SHORT, log=silent)
