from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

import neurotasks
from agents.devices import choose_device, one_thread
from agents.networks import CNN, GRU, MLP, Encoder, readout

ROOT = Path(__file__).resolve().parents[2]
VECTOR = spaces.Box(-np.inf, np.inf, (6,), np.float32)
IMAGE = spaces.Box(0, 255, (1, 8, 8), np.uint8)
SYMBOL = spaces.Discrete(5, start=2)


def draw(space, rows, steps):
    generator = torch.Generator().manual_seed(0)
    if isinstance(space, spaces.Discrete):
        return torch.randint(2, 7, (rows, steps), generator=generator)
    if space.dtype == np.uint8:
        shape = (rows, steps, *space.shape)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return torch.randn(rows, steps, *space.shape, generator=generator)


@pytest.mark.parametrize(
    ("network", "space"), [(MLP, VECTOR), (MLP, IMAGE), (CNN, IMAGE), (GRU, VECTOR), (GRU, SYMBOL)]
)
def test_one_signature_for_all(network, space):
    net = network(space, 3, 16)
    output, state = net(draw(space, 4, 7), None)
    assert output.shape == (4, 7, 3)
    assert output.dtype == torch.float32
    assert (state is None) == (net.state is None)
    if net.state is not None:
        assert state.shape == (net.state[0], 4, net.state[1])


@pytest.mark.parametrize(("network", "space"), [(MLP, VECTOR), (CNN, IMAGE), (GRU, SYMBOL)])
def test_an_answer_knows_nothing_of_later_steps(network, space):
    net = network(space, 3, 16)
    x = draw(space, 4, 7)
    whole, _ = net(x, None)
    early, state = net(x[:, :3], None)
    late, _ = net(x[:, 3:], state)
    torch.testing.assert_close(torch.cat((early, late), dim=1), whole)


def test_a_byte_is_scaled_by_the_highest_value():
    encoder = Encoder(IMAGE)
    assert encoder(torch.full((1, 1, 1, 8, 8), 255, dtype=torch.uint8)).max() == 1.0
    one_hot = Encoder(spaces.Box(0, 1, (3,), np.uint8))
    assert one_hot(torch.tensor([[[0, 1, 0]]], dtype=torch.uint8)).max() == 1.0


def test_floats_are_standardised_and_a_constant_one_stays_finite():
    encoder = Encoder(VECTOR)
    x = 5.0 + 3.0 * draw(VECTOR, 500, 1)
    x[..., 0] = 7.0
    encoder.fit(x)
    encoded = encoder(x)
    torch.testing.assert_close(encoded.mean(dim=(0, 1)), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(encoded[..., 1:].std(), torch.tensor(1.0), atol=1e-2, rtol=0)
    assert encoded[..., 0].abs().max() == 0.0


def test_a_class_is_one_hot_from_the_first_class_on():
    torch.testing.assert_close(Encoder(SYMBOL)(torch.tensor([[2, 6]]))[0], torch.eye(5)[[0, 4]])


def test_a_cnn_refuses_what_is_no_image():
    with pytest.raises(TypeError, match="a CNN sees images"):
        CNN(VECTOR, 3, 16)


def test_a_network_refuses_other_spaces():
    with pytest.raises(TypeError, match="Discrete or a Box"):
        MLP(spaces.MultiBinary(3), 3, 16)


def test_a_return_is_nothing_to_train_on():
    task = neurotasks.load("CartPole-v0")
    with pytest.raises(TypeError, match="a network learns a loss"):
        readout(task.card, task.action_space)


def test_a_device_that_is_not_there_is_named():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no device 'cuda' here"):
            choose_device("cuda")


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("library", "module", "extra"),
    [
        ("torch", "agents.networks", "torch"),
        ("onnxruntime", "agents.onnx_agent", "torch"),
        ("sklearn", "agents.linear", "digits"),
    ],
)
def test_a_missing_library_names_its_extra(library, module, extra):
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from neurotasks.errors import MissingExtra\n"
        f"try:\n    import {module}\nexcept MissingExtra as error:\n    print(error)\n"
    )
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert f"neurotasks[{extra}]" in done.stdout
