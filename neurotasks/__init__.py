"""Deep-learning-for-neuroscience courses as Gymnasium tasks, scored against their ideal observers.

    import gymnasium, neurotasks
    env = gymnasium.make("neurotasks/OrientationDecoding-v0")
    task = neurotasks.load("neurotasks/OrientationDecoding-v0")

Importing registers every task with Gymnasium; nothing is downloaded and no learner's library loads.
"""

from neurotasks.agent import Agent, Budget, Learner
from neurotasks.card import Stage, TaskCard
from neurotasks.registry import cards, discover, find, load, register
from neurotasks.rng import Draw
from neurotasks.task import Batch, ControlTask, Experience, StreamTask, TrialTask

__all__ = [
    "Agent",
    "Batch",
    "Budget",
    "ControlTask",
    "Draw",
    "Experience",
    "Learner",
    "Stage",
    "StreamTask",
    "TaskCard",
    "TrialTask",
    "cards",
    "discover",
    "find",
    "load",
    "register",
]

discover()
