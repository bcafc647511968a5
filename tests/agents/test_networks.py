from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.func import functional_call, grad, stack_module_state, vmap

import neurotasks
from agents.devices import choose_device, one_thread
from agents.networks import CTRNN, MLP, NETWORKS, BiGRU, Encoder, readout
from agents.training import TorchLearner
from neurotasks.agent import Budget, silent
from neurotasks.evaluate import evaluate

ROOT = Path(__file__).resolve().parents[2]
VECTOR = spaces.Box(-np.inf, np.inf, (6,), np.float32)
IMAGE = spaces.Box(0, 255, (1, 8, 8), np.uint8)
SYMBOL = spaces.Discrete(5, start=2)
IMAGES = ("contrast-mlp", "cnn", "resnet", "dscnn")
MEMORY = ("gru", "lstm", "ctrnn", "transformer")
PARTS = ("bigru", "bilstm", "bitransformer")
CASES = [
    *((name, IMAGE) for name in (*IMAGES, *PARTS, "mlp", "gru")),
    *((name, VECTOR) for name in (*MEMORY, *PARTS, "mlp")),
    *((name, SYMBOL) for name in MEMORY),
]


def draw(space, rows, steps):
    generator = torch.Generator().manual_seed(0)
    if isinstance(space, spaces.Discrete):
        return torch.randint(2, 7, (rows, steps), generator=generator)
    if space.dtype == np.uint8:
        shape = (rows, steps, *space.shape)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return torch.randn(rows, steps, *space.shape, generator=generator)


def build(name, space, seed=0, width=16, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return NETWORKS[name](space, 3, width, **settings)


def test_every_network_is_tried():
    assert {name for name, _ in CASES} == set(NETWORKS)


@pytest.mark.parametrize(("name", "space"), CASES)
def test_one_signature_for_all(name, space):
    net = build(name, space).eval()
    output, state = net(draw(space, 4, 7), None)
    assert output.shape == (4, 7, 3)
    assert output.dtype == torch.float32
    assert (state is None) == (net.state is None) == (name not in MEMORY)
    if net.state is not None:
        layers, width = net.state
        assert state.shape == (layers or 7, 4, width)
        zeros = torch.zeros(layers or 2, 4, width)
        torch.testing.assert_close(net(draw(space, 4, 7), zeros)[0], output)


@pytest.mark.parametrize("cuts", [(3,), (1, 2, 6), (1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize(("name", "space"), CASES)
def test_blocks_of_steps_are_answered_as_the_whole(name, space, cuts):
    net = build(name, space).eval()
    x = draw(space, 4, 7)
    state, parts = None, []
    for block in torch.tensor_split(x, cuts, dim=1):
        output, state = net(block, state)
        parts.append(output)
    torch.testing.assert_close(torch.cat(parts, dim=1), net(x, None)[0])


@pytest.mark.parametrize(("name", "space"), CASES)
def test_a_stack_answers_and_learns_as_each_network_alone(name, space):
    nets = [build(name, space, seed) for seed in range(3)]
    x = torch.stack([draw(space, 4, 5).roll(seed, 0) for seed in range(3)])
    parameters, buffers = stack_module_state(nets)

    def loss(weights, fixed, seen):
        return functional_call(nets[0], (weights, fixed), (seen,))[0].square().mean()

    values = vmap(loss)(parameters, buffers, x)
    values.sum().backward()
    detached = {key: value.detach() for key, value in parameters.items()}
    _, buffers = stack_module_state(nets)
    inside = vmap(grad(loss))(detached, buffers, x)  # a gradient taken inside the stack
    for row, net in enumerate(nets):
        alone = net(x[row])[0].square().mean()
        alone.backward()
        torch.testing.assert_close(values[row], alone)
        for key, value in net.named_parameters():
            torch.testing.assert_close(parameters[key].grad[row], value.grad, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(inside[key][row], value.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "space"), CASES)
def test_an_answer_rests_on_its_own_trial(name, space):
    net = build(name, space).eval()
    x = draw(space, 4, 5)
    torch.testing.assert_close(net(x[:1])[0], net(x)[0][:1])


@pytest.mark.parametrize(("name", "space"), CASES)
def test_narrow_products_change_little(name, space):
    net = build(name, space).eval()
    x = draw(space, 4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        narrow, _ = net(x)
    torch.testing.assert_close(narrow.float(), net(x)[0], rtol=0.1, atol=0.05)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("size", [8, 28, 64])
def test_images_of_many_sizes(name, size):
    space = spaces.Box(0, 255, (3, size, size), np.uint8)
    net = build(name, space)
    output, _ = net(draw(space, 1, 1))  # a batch of one can be learned from
    output.sum().backward()
    assert all(value.grad.isfinite().all() for value in net.parameters())


def test_an_image_is_read_row_by_row():
    net = build("bigru", spaces.Box(0, 1, (2, 3, 4), np.float32))
    image = torch.arange(24.0).reshape(1, 1, 2, 3, 4)
    rows = net.sequence(image)
    assert rows.shape == (1, 3, 8)
    torch.testing.assert_close(rows[0, 1], image[0, 0, :, 1].flatten())
    assert BiGRU(VECTOR, 3, 16).sequence(draw(VECTOR, 2, 5)).shape == (10, 6, 1)


def test_a_transformer_sees_its_context_and_no_further():
    net = build("transformer", VECTOR, context=4).eval()
    x = draw(VECTOR, 2, 12)
    other = x.clone()
    other[:, 0] += 1.0
    output, state = net(x)
    changed = (net(other)[0] - output).abs().amax(dim=(0, 2)) > 0
    assert changed.tolist() == [True] * 7 + [False] * 5  # three steps back in each of two layers
    assert state.shape[0] == 3
    parts, state = [], None
    for step in range(12):
        one, state = net(x[:, step : step + 1], state)
        parts.append(one)
    torch.testing.assert_close(torch.cat(parts, dim=1), output)


def test_a_row_of_zeros_in_the_state_begins_a_trial():
    for name in MEMORY:
        net = build(name, VECTOR).eval()
        x = draw(VECTOR, 3, 5)
        _, state = net(x)
        state[:, 1] = 0.0
        torch.testing.assert_close(net(x, state)[0][1], net(x)[0][1])


def test_leaky_units_follow_their_equation():
    net = CTRNN(VECTOR, 3, 16, tau=50.0, dt=10.0).eval()
    x, current = draw(VECTOR, 2, 6), torch.zeros(2, 16)
    for step in range(6):
        drive = current.relu() @ net.weight + net.entry(x[:, step])
        current = current + 10.0 / 50.0 * (drive - current)
    torch.testing.assert_close(net(x)[1][0], current)
    with pytest.raises(ValueError, match="0 < dt <= tau"):
        CTRNN(VECTOR, 3, 16, tau=10.0, dt=20.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns(name, echo_class):
    task = echo_class if name in MEMORY else neurotasks.load("ImageClassificationDigits-v0")
    learner = TorchLearner(name, width=32, device="cpu")
    agents = learner.learn(task, seeds=[0, 1], budget=Budget("smoke", 20_000), log=silent)
    for raw in evaluate(task, agents, seeds=[0, 1], stages=["test"])["test"].raw:
        assert raw > 0.5  # chance is 0.25, and 0.1 on the digits


def test_noise_is_there_while_gradients_are_taken_and_the_same_for_a_seed():
    before = torch.get_rng_state()
    first, second, other = (build("ctrnn", VECTOR, seed) for seed in (0, 0, 1))
    x = draw(VECTOR, 4, 7)
    one = first(x)[0].detach()
    assert torch.equal(one, second(x)[0].detach())
    assert not torch.equal(one, second(x)[0].detach())  # fresh noise in each pass
    with torch.no_grad():
        assert torch.equal(first(x)[0], first.eval()(x)[0])
    assert torch.equal(before, torch.get_rng_state())
    drawn = torch.stack([first._drawn(torch.empty(100_003)), other._drawn(torch.empty(100_003))])
    torch.testing.assert_close(torch.cov(drawn), torch.eye(2), atol=0.02, rtol=0)
    assert drawn.square().square().mean() == pytest.approx(3.0, abs=0.1)  # as a normal number's
    still = build("ctrnn", VECTOR, noise=0.0)
    torch.testing.assert_close(still(x)[0], still.eval()(x)[0])


def test_noise_alone_drives_a_current_as_far_as_it_says():
    net = build("ctrnn", VECTOR, width=200, noise=0.5)
    for weights in (net.weight, net.entry.weight, net.entry.bias):
        torch.nn.init.zeros_(weights)
    _, last = net(draw(VECTOR, 100, 60))
    # Euler's steps of a fifth of tau spread further than the continuous process, by 1 / (1 - 0.1)
    assert last.std().item() == pytest.approx(0.5 / np.sqrt(0.9), rel=0.02)


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


def test_brightness_and_contrast_of_an_image_do_not_matter_after_normalisation():
    space = spaces.Box(0, 255, (2, 8, 8), np.uint8)
    network = build("contrast-mlp", space).eval()
    dark = torch.randint(0, 50, (20, 3, 2, 8, 8), dtype=torch.uint8)
    encoded = network.encoder(dark)
    torch.testing.assert_close(encoded.mean((2, 3, 4)), torch.zeros(20, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(encoded.square().mean((2, 3, 4)), torch.ones(20, 3))
    torch.testing.assert_close(network(4 * dark + 20)[0], network(dark)[0])
    even = torch.full((1, 1, 2, 8, 8), 77, dtype=torch.uint8)
    assert network.encoder(even).abs().max() < 1e-4
    with pytest.raises(TypeError, match="a ContrastMLP sees images"):
        build("contrast-mlp", VECTOR)


def test_a_class_is_one_hot_from_the_first_class_on():
    torch.testing.assert_close(Encoder(SYMBOL)(torch.tensor([[2, 6]]))[0], torch.eye(5)[[0, 4]])


@pytest.mark.parametrize("name", IMAGES)
def test_what_sees_images_refuses_what_is_none(name):
    with pytest.raises(TypeError, match=f"a {NETWORKS[name].__name__} sees images"):
        build(name, VECTOR)


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
        ("onnxruntime", "neurotasks.onnx_agent", "torch"),
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
