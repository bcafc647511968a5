"""Scoring in the sandbox against the runtime alone, in this process and without any check."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from leaderboard.sandbox import Limits, run
from leaderboard.scoring import score
from neurotasks import load
from neurotasks.metrics import per_trial
from neurotasks.submission.manifest import Manifest

pytestmark = pytest.mark.slow  # 100,000 trials, many times over

TASK = "neurotasks/Yang2019Go-v0"  # 2,000 trials in each of two stages
SEEDS = tuple(range(25))
WIDTH = 128
ROUNDS = 9


def mlp(seed):
    """Return a network of two hidden layers as an ONNX file."""
    onnx = pytest.importorskip("onnx")
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    draw = np.random.default_rng(seed)
    sizes = (53, WIDTH, WIDTH, 17)
    matrices = [
        onnx.numpy_helper.from_array(
            (draw.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32), f"w{k}"
        )
        for k, shape in enumerate(pairwise(sizes))
    ]
    nodes = [
        node("MatMul", ["observation", "w0"], ["a0"]), node("Relu", ["a0"], ["h0"]),
        node("MatMul", ["h0", "w1"], ["a1"]), node("Relu", ["a1"], ["h1"]),
        node("MatMul", ["h1", "w2"], ["logits"]),
        node("ArgMax", ["logits"], ["action"], axis=2, keepdims=0),
    ]  # fmt: skip
    graph = onnx.helper.make_graph(
        nodes,
        "mlp",
        [value("observation", onnx.TensorProto.FLOAT, ("batch", "length", 53))],
        [value("action", onnx.TensorProto.INT64, ("batch", "length"))],
        matrices,
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def hand_in(folder):
    """Write a submission of one network for each seed."""
    files = {f"model-{seed}.onnx": mlp(seed) for seed in SEEDS}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    card = load(TASK).card.hash
    told = Manifest(
        task=TASK, card=card, agent="mlp", format="onnx", files=hashes, seeds=SEEDS
    ).to_json()
    return Manifest.from_json(told)


def plain(folder):
    """Score with the runtime alone; return the raw metric of each seed by stage."""
    from neurotasks.onnx_agent import session  # noqa: PLC0415 - the runtime is an extra

    task = load(TASK)
    sessions = [session((folder / f"model-{seed}.onnx").read_bytes()) for seed in SEEDS]
    found = {}
    for stage in task.card.evaluated:
        raw = []
        for seed, running in zip(SEEDS, sessions, strict=True):
            batch = task.sample(task.card.stage(stage).trials, seed, stage)
            (action,) = running.run(["action"], {"observation": batch.x})
            values = per_trial(task.card.metric.values(action, batch.y), batch.mask)
            raw.append(float(values.mean()))
        found[stage] = tuple(raw)
    return found


def start():
    """Start a child that has nothing to score."""
    nothing = {"kind": "onnx", "task": TASK, "files": [], "seeds": [], "stages": [], "private": []}
    assert run("neurotasks.submission.child", nothing, Limits()).answer == {"stages": {}}


def seconds(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def test_onnx_scoring(benchmark):
    """100,000 trials: the runtime alone, over the sandbox less the start of its child."""
    with tempfile.TemporaryDirectory(prefix="scoring-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the sandbox's other user reads it
        manifest = hand_in(folder)
        expected, scored = plain(folder), score(folder, manifest)
        assert {stage: found.raw for stage, found in scored.stages.items()} == expected
        assert sum(items.size for items in scored.items.values()) == 100_000
        times = []

        def others():
            times.append((seconds(lambda: plain(folder)), seconds(start)))

        benchmark.pedantic(
            lambda: score(folder, manifest), setup=others, rounds=ROUNDS, iterations=1
        )
    whole = benchmark.stats.stats.data
    alone, starts = zip(*times, strict=True)
    ratios = [a / (w - s) for a, s, w in zip(alone, starts, whole, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    benchmark.extra_info.update(
        name="onnx_scoring",
        ratio=min(alone) / (min(whole) - min(starts)),
        target=1 / 1.3,
        spread=[low, high],
        seconds={"plain": min(alone), "start": min(starts), "sandbox": min(whole)},
    )
