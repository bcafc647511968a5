"""The parts of proximal policy optimisation, each against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

torch = pytest.importorskip("torch")

from agents.advantages import Running, judge  # noqa: E402
from agents.policies import Answers, GatedPolicy, MLPPolicy  # noqa: E402
from agents.rollouts import Rollout  # noqa: E402
from agents.rows import rows_of, twice  # noqa: E402
from agents.surrogate import log_probability, slopes  # noqa: E402

NARROW, WIDE = spaces.Box(-2.0, 2.0, (3,), np.float32), spaces.Box(-1.0, 3.0, (2,), np.float32)


def networks(policy, seeds=2, space=spaces.Discrete(3)):  # noqa: B008 - a space is a fact
    generator = torch.Generator().manual_seed(0)
    answers = Answers.to(space)
    made = [policy(NARROW, answers, 7, 1.0, generator) for _ in range(2 * seeds)]
    for network in made:
        for value in network.parameters():
            torch.nn.init.normal_(value, 0.0, 0.5, generator=generator)
    return made


def lived(space, generator, shape=(2, 4, 6)):
    """Return a batch of random choices; the critics' targets play no part."""
    answers = Answers.to(space)
    size = answers.readout.size
    if answers.readout.classes:
        choice = torch.randint(size, shape, generator=generator)
    else:
        choice = torch.randn(*shape, size, generator=generator)
    some = [torch.randn(*shape, generator=generator) for _ in range(3)]
    return Rollout(some[0], some[0], choice, some[0] - 1.0, some[1], some[2], some[0])


@pytest.mark.parametrize("policy", [MLPPolicy, GatedPolicy])
def test_rows_answer_and_learn_as_torch_does(policy):
    """Sequences with episodes that begin in the middle, against torch's own modules."""
    made = networks(policy)
    rows = rows_of(made)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 5, 6, 3, generator=generator)
    keep = (torch.rand(2, 5, 6, generator=generator) > 0.3).float()
    state = torch.randn(4, 5, rows.memory, generator=generator)
    slope = torch.randn(4, 5, 6, 3, generator=generator)
    output = rows.forward(x, keep, state).clone()
    rows.backward(slope, torch.zeros(4, 0))
    found = rows.layout.views(rows.gradient.view(4, -1))
    for row, network in enumerate(made):
        h, answers = state[row][None] if rows.memory else None, []
        for t in range(6):
            h = h if h is None else h * keep[row // 2, :, t, None]
            answer, h = network(x[row // 2, :, t : t + 1], h)
            answers.append(answer)
        torch.testing.assert_close(output[row], torch.cat(answers, dim=1), rtol=1e-4, atol=1e-5)
        (torch.cat(answers, dim=1) * slope[row]).sum().backward()
        for name, value in network.named_parameters():
            if value.numel():
                torch.testing.assert_close(found[name][row], value.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("policy", [MLPPolicy, GatedPolicy])
def test_steps_equal_sequences(policy):
    rows = rows_of(networks(policy))
    x = torch.randn(2, 5, 6, 3, generator=torch.Generator().manual_seed(1))
    state = torch.zeros(4, 5, rows.memory)
    whole = rows.forward(x, torch.ones(2, 5, 6), state).clone()
    for t in range(6):
        output, state = rows.step(twice(x[:, :, t]), state, slice(None))
        torch.testing.assert_close(output, whole[:, :, t])


@pytest.mark.parametrize("space", [spaces.Discrete(3), WIDE], ids=["classes", "points"])
def test_slopes_equal_automatic_differentiation(space):
    """The clipped objective as Schulman et al. (2017) write it, differentiated by torch."""
    generator = torch.Generator().manual_seed(2)
    part, clip, weight = lived(space, generator), 0.2, 0.01
    answers = Answers.to(space)
    output = torch.randn(2, 4, 6, answers.readout.size, generator=generator).requires_grad_()
    spread = torch.randn(2, len(answers.middle), generator=generator).requires_grad_()
    if answers.readout.classes:
        chances = torch.distributions.Categorical(logits=output)
        now, entropy = chances.log_prob(part.choice), chances.entropy()
    else:
        chances = torch.distributions.Normal(output, spread[:, None, None].exp())
        now, entropy = chances.log_prob(part.choice).sum(-1), chances.entropy().sum(-1)
    torch.testing.assert_close(log_probability(output, spread, part.choice), now)
    gain = part.advantage
    gain = (gain - gain.mean((1, 2), keepdim=True)) / gain.std((1, 2), correction=0, keepdim=True)
    ratio = (now - part.chance).exp()
    kept = torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain)
    (-(kept + weight * entropy).mean((1, 2)).sum()).backward()
    found = slopes(output.detach(), spread.detach(), part, clip, weight)
    torch.testing.assert_close(found.output, output.grad, rtol=1e-4, atol=1e-6)
    if spread.numel():
        torch.testing.assert_close(found.spread, spread.grad, rtol=1e-4, atol=1e-6)


def test_advantages_are_the_definition():
    """Sums of discounted surprises up to the end of the episode, one by one."""
    random = np.random.default_rng(0)
    reward, value = random.normal(size=(7, 3)), random.normal(size=(8, 3))
    ended = random.random((7, 3)) < 0.3
    found = judge(reward, value, ended, 0.9, 0.8)
    for world in range(3):
        for start in range(7):
            total, weight = 0.0, 1.0
            for t in range(start, 7):
                after = 0.0 if ended[t, world] else 0.9 * value[t + 1, world]
                total += weight * (reward[t, world] + after - value[t, world])
                if ended[t, world]:
                    break
                weight *= 0.9 * 0.8
            assert found[start, world] == pytest.approx(total)


def test_running_statistics_are_those_of_all_numbers():
    parts = [torch.randn(2, n, 3, dtype=torch.float64) * 3 + 1 for n in (4, 1, 9)]
    running = Running(2, 3, torch.device("cpu"))
    for part in parts:
        running.add(part)
    whole = torch.cat(parts, dim=1)
    torch.testing.assert_close(running.mean, whole.mean(1))
    torch.testing.assert_close(running.spread, whole.std(1, correction=0))


def test_an_unbounded_box_is_taken_as_it_is():
    answers = Answers.to(spaces.Box(-np.inf, np.inf, (2,), np.float32))
    far = torch.tensor([[5.0, -7.0]])
    assert torch.equal(answers.action(far), far)
