"""The training engine: the networks of all seeds learn side by side, as one program.

Data live on the device; batches are taken from them by index. Each seed has trials and an order of
its own, its own clipped gradient, its own validation and best weights; it may stop early, or fail
because its loss is no longer a number, and the others go on without it. Where memory ends, the
seeds are trained in two halves, one after the other.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from agents.choice import choose
from agents.keeper import Keeper
from agents.networks import Network, readout
from agents.optimiser import RowAdamW, schedule
from agents.stack import Stack
from agents.trials import Trials
from neurotasks.agent import Watcher
from neurotasks.task import TrialTask

__all__ = ["PRECISIONS", "Course", "Settings", "train"]

PRECISIONS = ("float32", "bfloat16")
_LOGGER = logging.getLogger(__name__)
_NO_MEMORY = ("out of memory", "can't allocate memory")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How networks are trained, with AdamW (Loshchilov and Hutter, 2019).

    Attributes:
        learning_rate: The highest learning rate.
        batch: Trials of each seed in one step of the optimiser.
        weight_decay: Decoupled weight decay.
        clip: Largest norm of the gradient of one seed; infinite to leave it as it is.
        warmup: Part of the budget over which the learning rate rises.
        checks: How often during the budget progress is validated and logged.
        patience: A seed stops after this many checks without a better one; None to go on.
        split: The split to train on.
        device: "auto", "cpu" or "cuda".
        precision: "float32", or "bfloat16" for products and convolutions.
        compiled: Whether torch compiles what a step computes. On a processor it seldom pays: after
            4 to 60 s of compilation steps take 2.5 (MLP), 1.5 (CNN) and 0.95 (GRU) times as long.
        stacked: Whether all seeds compute side by side; None to follow what was measured.
    """

    learning_rate: float = 3e-3
    batch: int = 128
    weight_decay: float = 1e-4
    clip: float = 1.0
    warmup: float = 0.05
    checks: int = 20
    patience: int | None = None
    split: str = "train"
    device: str = "auto"
    precision: str = "float32"
    compiled: bool = False
    stacked: bool | None = None


@dataclass
class Course:
    """How one seed fared.

    Attributes:
        seed: The seed.
        network: Its network, at its best once training has ended.
        trained: How many seeds were trained side by side and how: batched, vmapped or sequential.
        samples: How many trials it was shown.
        failure: Why it failed; empty where it did not.
        curve: After some samples, named numbers.
    """

    seed: int
    network: Network
    trained: str
    samples: int = 0
    failure: str = ""
    curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)


def train(
    task: TrialTask,
    networks: Sequence[Network],
    seeds: Sequence[int],
    samples: int,
    settings: Settings,
    watcher: Watcher | None = None,
) -> list[Course]:
    """Train one network for each seed.

    Args:
        task: The task.
        networks: Untrained, on their device. Their weights are changed at the very end.
        seeds: They set the trials and their order.
        samples: How many trials each seed is shown.
        settings: How.
        watcher: Who hears at each check how the seeds validate.

    Raises:
        ValueError: A seed should stop early, but the task has no validation split.
        RuntimeError: There is not even memory for a single seed.
    """
    try:
        return _Training(task, networks, seeds, samples, settings).run(watcher)
    except (RuntimeError, MemoryError) as error:
        if len(seeds) == 1 or not _out_of_memory(error):
            raise
    half = len(seeds) // 2
    _LOGGER.warning("no memory for %d seeds side by side: they go on in two halves", len(seeds))
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return [
        *train(task, networks[:half], seeds[:half], samples, settings, watcher),
        *train(task, networks[half:], seeds[half:], samples, settings, watcher),
    ]


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _NO_MEMORY)


class _Training:
    """The loop over a stack."""

    def __init__(
        self,
        task: TrialTask,
        networks: Sequence[Network],
        seeds: Sequence[int],
        samples: int,
        settings: Settings,
    ) -> None:
        self.task, self.samples, self.settings = task, samples, settings
        device = next(networks[0].parameters()).device
        self.trials = Trials(task, seeds, settings.split, device)
        self.first = self.trials.draw(range(samples))
        for row, network in enumerate(networks):
            network.encoder.fit(self.first[row % len(self.first)].x)
        answer = readout(task.card, task.action_space)
        self.stack: Stack = choose(
            networks,
            answer,
            self.first[0].x[: settings.batch],
            stacked=settings.stacked,
            precision=settings.precision,
            compiled=settings.compiled,
        )
        self.optimiser = RowAdamW(
            self.stack.weights, weight_decay=settings.weight_decay, clip=settings.clip
        )
        self.keeper = Keeper(task, seeds, self.stack)
        if settings.patience is not None and not self.keeper.batches:
            raise ValueError(f"{task.card.id} has no validation split: set patience to None")
        trained = f"{len(seeds)} seeds, {self.stack.kind}"
        self.courses = [
            Course(seed, network, trained) for seed, network in zip(seeds, networks, strict=True)
        ]
        self.rows = list(range(len(seeds)))  # the seeds that are still being trained
        _LOGGER.info("%s: %s", task.card.id, trained)

    def run(self, watcher: Watcher | None = None) -> list[Course]:
        """Show all samples, check now and then, and leave each network at its best."""
        shown, losses, checks = 0, [], self.settings.checks
        batches = self.trials.batches(
            self.first,
            self.samples,
            self.settings.batch,
            self.stack.readout,
            self._prepare,
        )
        for x, y, weight in batches:
            progress = (shown + x.shape[1] / 2) / self.samples
            losses.append(self.stack.learn(x, y, weight))
            rate = self.settings.learning_rate * schedule(progress, self.settings.warmup)
            self.optimiser.step(self.stack.weights, self.stack.gradient, rate)
            before, shown = shown, shown + x.shape[1]
            if shown * checks // self.samples > before * checks // self.samples:
                found = self._check(shown, torch.stack(losses).mean(dim=0))
                if watcher is not None and found:
                    watcher.watch(shown, sum(found) / len(found))
                losses.clear()
                if not self.rows:
                    break
        self._end(shown, range(len(self.rows)))
        return self.courses

    def _prepare(self, x: Tensor, places: Sequence[int]) -> Tensor:
        """Return observations as the present stack, which may have been narrowed, takes them."""
        return self.stack.inputs(x, places)

    def _check(self, shown: int, loss: Tensor) -> list[float]:
        """Log and validate; let go of seeds that failed or have waited long enough.

        Returns:
            The validation metric of each seed, if there is one.
        """
        values = loss.tolist()
        finite = (self.stack.weights.isfinite().all(dim=1) & loss.isfinite()).tolist()
        for place, row in enumerate(self.rows):
            if not finite[place]:
                self._fail(row, shown, values[place])
        good = [place for place, whole in enumerate(finite) if whole]
        self._narrow(good)
        found = self.keeper.check(self.stack, self.rows) if self.rows else []
        for place, row in enumerate(self.rows):
            scalars = {"loss": values[good[place]]}
            if found:
                scalars["validation"] = found[place]
            self.courses[row].curve.append((shown, scalars))
        self._stop_early(shown)
        return found

    def _fail(self, row: int, shown: int, loss: float) -> None:
        course = self.courses[row]
        course.samples = shown
        course.failure = (
            f"the loss became {loss} after {shown} samples"
            if not math.isfinite(loss)
            else f"weights were no longer numbers after {shown} samples"
        )
        _LOGGER.warning("%s, seed %d: %s", self.task.card.id, course.seed, course.failure)

    def _stop_early(self, shown: int) -> None:
        patience = self.settings.patience
        if patience is None:
            return
        waited = [self.keeper.waited[row] >= patience for row in self.rows]
        self._end(shown, [place for place, long in enumerate(waited) if long])
        self._narrow([place for place, long in enumerate(waited) if not long])

    def _end(self, shown: int, places: Sequence[int]) -> None:
        """Write the best weights of some rows of the stack into their networks."""
        for place in places:
            row = self.rows[place]
            self.courses[row].samples = shown
            best = self.keeper.best.get(row, self.stack.weights[place])
            self.courses[row].network = self.stack.unstack(place, best)

    def _narrow(self, places: Sequence[int]) -> None:
        """Go on with some rows of the stack alone."""
        if len(places) == len(self.rows):
            return
        self.rows = [self.rows[place] for place in places]
        if self.rows:
            self.stack = self.stack.narrowed(places)
            self.optimiser.narrow(places)
            self.trials.narrow(places)
