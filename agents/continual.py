"""Strategies of Avalanche on our streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from agents.avalanche import quiet
from agents.avalanche_loader import fast
from agents.devices import choose_device, one_thread
from agents.heads import Headed
from agents.isolation import isolated
from agents.networks import NETWORKS, Network, readout
from agents.strategies import STRATEGIES, Strategy
from agents.strategy_meter import held_bytes
from agents.strategy_models import FEATURED
from agents.strategy_parts import Parts, Settings
from agents.strategy_streams import experiences
from agents.training import TorchAgent, TrainingDiverged
from neurotasks.agent import Budget, Log
from neurotasks.task import Experience

__all__ = ["AvalancheLearner"]


@dataclass
class _Run:
    """One seed on its way through a stream."""

    seed: int
    parts: Parts
    strategy: Any
    stream: Any
    held: int = 0

    @property
    def network(self) -> Network:
        """The network that answers now."""
        return STRATEGIES[self.parts.settings.strategy].answer(self.parts, self.strategy).eval()


@dataclass
class AvalancheLearner(Settings):
    """Teaches a network a stream with a strategy of Avalanche, one network for each seed.

    Called with experience 0 it starts afresh; called with a later one it goes on from the one
    before. The budget counts the trials that are shown, those from the memory included; GEM and
    A-GEM are shown those whose gradient they compare with. The generator of generative replay has
    a budget of its own, as large. Streaming LDA stops after one pass, which is all it can use. With
    strategy "joint" the first experience gets all trials of the stream and the budgets of all
    experiences; the later ones change nothing more, so that the last row of the accuracy matrix is
    joint training, and so are the others.

    Where a stream tells the task, the network has a head for each. Strategies whose last layer is
    theirs to build (iCaRL, CWR*, AR1, streaming LDA) learn the classes of all tasks in one head,
    and what is told chooses among their answers.
    """

    _running: dict[int, _Run] = field(default_factory=dict, init=False, repr=False)
    _next: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        for value, known in ((self.strategy, STRATEGIES), (self.network, NETWORKS)):
            if value not in known:
                raise ValueError(f"there is no {value!r}; there are {', '.join(known)}")

    def learn(
        self, task: Experience, *, seeds: Sequence[int], budget: Budget, log: Log
    ) -> list[TorchAgent]:
        """Learn one experience of a stream, seed after seed.

        Args:
            task: The experience.
            seeds: One for each agent; the same ones for all experiences of a stream.
            budget: Trials to be shown in this experience, rounded up to whole batches.
            log: Gets the mean training loss over the seeds.

        Returns:
            The agents. Their networks go on being trained when the next experience is learned.

        Raises:
            TypeError: The task is no experience of a stream of classes.
            ValueError: The experience, or a seed, is not the one that comes next; or the strategy
                cannot learn such a stream with such a network or such a memory.
            TrainingDiverged: Weights became infinite or NaN.
        """
        self._check_turn(task, seeds)
        known = STRATEGIES[self.strategy]
        if task.index == 0:
            _check_fit(self, known, task)
        losses, shown = [], 0
        for seed in seeds:
            with one_thread(), isolated(seed, task.index), quiet():
                if task.index == 0:
                    self._running[seed] = self._start(task, seed)
                run = self._running[seed]
                if not (known.joint and task.index):
                    _teach(run, task, budget.samples * (task.count if known.joint else 1))
                run.held = held_bytes(run.strategy)
            meter = run.parts.meters[0]
            losses.append(meter.loss)
            shown = meter.shown
        self._next = task.index + 1
        log(shown, loss=sum(losses) / len(losses))
        answer = readout(task.card, task.action_space)
        return [TorchAgent(self._running[seed].network, answer) for seed in seeds]

    def held(self) -> list[int]:
        """Return the bytes that each seed keeps beside its network, in the order of the seeds."""
        return [run.held for run in self._running.values()]

    def _check_turn(self, task: Experience, seeds: Sequence[int]) -> None:
        if not isinstance(task, Experience):
            raise TypeError(f"{task.card.id} is no experience; AvalancheLearner learns streams")
        if task.index == 0:
            self._running.clear()
        elif task.index != self._next or set(seeds) != set(self._running):
            raise ValueError(
                f"experience {task.index} of {task.card.id} comes out of turn: expected experience "
                f"{self._next} with seeds {sorted(self._running)}; begin again with experience 0"
            )

    def _start(self, task: Experience, seed: int) -> _Run:
        """Return a run with a network and a strategy of its own."""
        stream, known = task.task, STRATEGIES[self.strategy]
        outputs = readout(task.card, task.action_space).size
        network = self._network(task, outputs)
        if network.encoder.floats:
            network.encoder.fit(torch.tensor(np.asarray(task.dataset("train", seed).x)))
        device = choose_device(self.device)
        parts = Parts(
            settings=self,
            network=network.to(device),
            space=task.observation_space,
            experiences=task.count,
            classes=outputs * max(stream.told, 1),
            device=device,
            strength=known.strength if self.strength is None else self.strength,
            beside=known.beside,
        )
        strategy = fast(known.make(parts), evaluator=False)
        view = experiences(stream, seed, whole=known.whole, joint=known.joint)
        return _Run(seed, parts, strategy, view)

    def _network(self, task: Experience, outputs: int) -> Network:
        """Return an untrained network, with a head for each task that is told."""

        def make(space: gym.Space[Any], outputs: int) -> Network:
            return NETWORKS[self.network](space, outputs, self.width)

        space, told = task.observation_space, task.task.told
        return Headed(space, outputs, told, make) if told else make(space, outputs)


def _teach(run: _Run, task: Experience, samples: int) -> None:
    """Train on an experience until the meter stops it.

    Raises:
        ValueError: A class comes again that the strategy cannot learn twice.
        TrainingDiverged: Weights became infinite or NaN.
    """
    known, settings = STRATEGIES[run.parts.settings.strategy], run.parts.settings
    experience = run.stream[task.index]
    if known.fresh and experience.benchmark.n_classes_per_exp[task.index] < len(
        experience.classes_in_this_experience
    ):
        raise ValueError(
            f"strategy {settings.strategy!r} learns a class once; in experience {task.index} of "
            f"{task.card.id} classes come again. Strategies that take them: "
            f"{_names(lambda other: not other.fresh)}"
        )
    if known.single:
        experience.dataset = experience.dataset.subset(range(min(samples, len(experience.dataset))))
    for meter in run.parts.meters:
        meter.start(samples)
    run.strategy.train(experience, eval_streams=[])
    run.stream.drop_previous_experiences(task.index)
    if not all(bool(torch.isfinite(weight).all()) for weight in run.strategy.model.parameters()):
        cure = f"lower the learning rate (now {settings.learning_rate:g})"
        if known.strength:
            cure += f" or the strength (now {run.parts.strength:g})"
        raise TrainingDiverged(
            f"strategy {settings.strategy!r} with seed {run.seed} has weights that are no numbers "
            f"after experience {task.index} of {task.card.id}: {cure}"
        )


def _check_fit(settings: Settings, known: Strategy, task: Experience) -> None:
    """Refuse what a strategy cannot learn, before it begins.

    Raises:
        TypeError: The answers are no classes.
        ValueError: The trials, the network or the memory do not suit the strategy.
    """
    name, card, space = settings.strategy, task.card, task.observation_space
    answer = readout(card, task.action_space)
    if not answer.classes:
        raise TypeError(
            f"{card.id} is answered in {task.action_space}; strategies of Avalanche learn classes"
        )
    if card.steps > 1 and not known.steps:
        raise ValueError(
            f"strategy {name!r} learns trials of one step, and those of {card.id} have up to "
            f"{card.steps}. Strategies that learn them: {_names(lambda other: other.steps)}"
        )
    if known.images and space.dtype != np.uint8:
        raise ValueError(
            f"strategy {name!r} draws images of bytes, and {card.id} shows {space}. Strategies "
            f"that take anything: {_names(lambda other: not other.images)}"
        )
    if known.whole and settings.network not in FEATURED:
        raise ValueError(
            f"strategy {name!r} needs a network with a linear last layer over features, one of "
            f"{', '.join(FEATURED)}, not {settings.network!r}"
        )
    least = {"class": answer.size * max(task.task.told, 1), "experience": task.count}
    if known.minimum and settings.memory < least[known.minimum]:
        raise ValueError(
            f"a memory of {settings.memory} trials is too small for strategy {name!r} on "
            f"{card.id}: it must hold at least one for each {known.minimum}, {least[known.minimum]}"
        )


def _names(suits: Callable[[Strategy], bool]) -> str:
    return ", ".join(name for name, strategy in STRATEGIES.items() if suits(strategy))
