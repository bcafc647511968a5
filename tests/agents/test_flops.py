from __future__ import annotations

import pytest
import torch

import neurotasks
from agents.flops import flops
from agents.networks import NETWORKS, readout
from agents.training import TorchAgent

DIGITS = "ImageClassificationDigits-v0"
WIDTH = 16


def agent(name, task):
    out = readout(task.card, task.action_space)
    return TorchAgent(NETWORKS[name](task.observation_space, out.size, WIDTH).eval(), out)


def test_a_perceptron_by_hand():
    task = neurotasks.load(DIGITS)
    found = flops(agent("mlp", task), task)
    products = 64 * WIDTH, WIDTH * WIDTH, WIDTH * 10
    assert found.forward == 2 * sum(products)
    assert found.training == 3 * found.forward - 2 * products[0]  # none for the image itself


def test_gated_units_by_hand(echo_class):
    found = flops(agent("gru", echo_class), echo_class)
    steps, classes = 10, 4
    products = 3 * WIDTH * classes, 3 * WIDTH * WIDTH, WIDTH * classes
    assert found.forward == 2 * steps * sum(products)
    free = steps * products[0] + products[1]  # no gradient of what is shown, nor of the first state
    assert found.training == 3 * found.forward - 2 * free


def test_convolutions_of_single_channels_by_hand():
    task = neurotasks.load(DIGITS)
    network = agent("dscnn", task)
    first, second, third = WIDTH // 4, WIDTH // 2, WIDTH
    pixels = 64, 16, 4
    products = [
        pixels[0] * 9 * first,
        pixels[0] * (9 * first + first * first),
        pixels[1] * (9 * first + first * second),
        pixels[2] * (9 * second + second * third),
        third * 10,
    ]
    found = flops(network, task)
    assert found.forward == 2 * sum(products)
    assert found.training == 3 * found.forward - 2 * products[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_counted_and_stays_as_it_is(name, echo_class):
    task = (
        echo_class if name in {"gru", "lstm", "ctrnn", "transformer"} else neurotasks.load(DIGITS)
    )
    counted = agent(name, task)
    before = {key: value.clone() for key, value in counted.network.state_dict().items()}
    found = flops(counted, task)
    assert 2 * found.forward < found.training < 3 * found.forward
    after = counted.network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert all(value.grad is None for value in counted.network.parameters())
