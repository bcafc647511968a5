"""What a result says about its cost."""

from __future__ import annotations

import pytest

from agents.linear import ridge
from agents.training import TorchLearner
from baselines.plan import Run
from baselines.work import _gpus, work


def result(task, agent, tmp_path):
    return work(Run(task, agent, (0, 1), "smoke", "cpu", tmp_path)).result


def test_what_training_computes_is_counted(tmp_path):
    """Two per weight forward, two for its gradient, and two for that of each hidden unit."""
    found = result("OrientationDecoding-v0", "mlp", tmp_path)
    inputs, width, outputs = 64, 128, 2
    first, rest = inputs * width, width * width + width * outputs
    assert found.flops == found.samples * (4 * first + 6 * rest)
    assert found.seconds > 0
    assert found.cpu_seconds > 0
    assert found.energy_kwh > 0
    assert "nvml" not in found.energy_method


def test_a_stream_is_counted_too(tmp_path):
    found = result("ContinualDigits-v0", "naive", tmp_path)
    assert found.flops > 4 * found.parameters * found.samples


@pytest.mark.parametrize(
    ("task", "agent"),
    [
        ("OrientationDecoding-v0", "ridge"),
        ("OrientationDecoding-v0", "trivial"),
        ("CartPole-v0", "sb3-a2c"),
    ],
)
def test_what_is_not_counted_is_nought(tmp_path, task, agent):
    assert result(task, agent, tmp_path).flops == 0


def test_a_learner_on_the_processor_uses_no_gpu():
    assert _gpus(ridge()) == ()
    assert _gpus(TorchLearner(device="cpu")) == ()


@pytest.mark.gpu
def test_a_learner_on_a_gpu_names_it():
    (name,) = _gpus(TorchLearner(device="cuda"))
    assert name.startswith("GPU-")
