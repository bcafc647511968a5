"""The training engine against the loop that courses teach, both on the same GPU."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch

import neurotasks
from agents.flops import flops
from agents.training import TorchLearner
from neurotasks.agent import Budget, silent
from tests.benchmarks.course import (
    DIGITS,
    Recorded,
    assert_as_accurate,
    convolutional,
    course_loop,
    digits,
    perceptron,
)

pytestmark = [
    pytest.mark.slow,  # trains for minutes
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here"),
]

SEEDS = tuple(range(32))
SIDE = 8192  # of the matrices whose product shows what the device can do at most


def peak():
    """Return the floating-point operations a second of a product of large float32 matrices."""
    first, second = torch.randn(2, SIDE, SIDE, device="cuda")
    best = math.inf
    for _ in range(5):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        torch.mm(first, second)
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return 2 * SIDE**3 / best


def finished(work):
    """Return what does the work and waits until the device has done it."""

    def run():
        torch.cuda.synchronize()
        result = work()
        torch.cuda.synchronize()
        return result

    return run


@pytest.fixture
def against_the_course(compare, benchmark):
    """Return a function that compares learning with the course's loop, and says what was used."""

    def run(name, task, learner, samples, theirs):
        def learn():
            budget = Budget("full", samples)
            return learner.learn(task, seeds=SEEDS, budget=budget, log=silent)

        agent = learn()[0]
        compare(name, finished(learn), finished(theirs), target=8.0, rounds=5)
        done = flops(agent, task).training * samples * len(SEEDS)
        most = peak()
        benchmark.extra_info.update(
            device=torch.cuda.get_device_name(),
            trained=agent.trained,
            tf32_products=torch.backends.cuda.matmul.allow_tf32,
            tf32_convolutions=torch.backends.cudnn.allow_tf32,
            peak_flops=most,
            fraction_of_peak=done / benchmark.stats.stats.min / most,
        )

    return run


def test_engine_mlp_32_seeds_gpu(against_the_course):
    """The same epochs on the same digits, and as many right answers within the seeds' noise."""
    epochs, task, data = 10, neurotasks.load(DIGITS), digits("train")
    settings = {"width": 64, "batch": 32, "learning_rate": 1e-2, "clip": math.inf}
    learner = TorchLearner("mlp", checks=1, device="cuda", **settings)
    samples = epochs * len(data[0])

    def theirs():
        return course_loop(perceptron, data, 32, epochs, seeds=SEEDS, device="cuda")

    ours = learner.learn(task, seeds=SEEDS, budget=Budget("full", samples), log=silent)
    assert_as_accurate(ours, theirs(), "cuda")
    against_the_course("engine_mlp_32_seeds_gpu", task, learner, samples, theirs)


def test_engine_cnn_32_seeds_gpu(against_the_course):
    """Images of 28 x 28 pixels, ten epochs."""
    epochs, task = 10, Recorded((1, 28, 28), 1, np.uint8)
    data = torch.tensor(task.x[:, 0]) / 255.0, torch.tensor(task.y)
    learner = TorchLearner("cnn", width=64, batch=128, checks=1, device="cuda")

    def theirs():
        return course_loop(convolutional, data, 128, epochs, seeds=SEEDS, device="cuda")

    against_the_course("engine_cnn_32_seeds_gpu", task, learner, epochs * len(data[0]), theirs)
