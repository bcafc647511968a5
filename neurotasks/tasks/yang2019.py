"""Follow one of twenty rules: go, go the other way, wait, compare, match.

What the subject sees: a fixation signal, two rings of 16 units each (two modalities), and a one-hot
rule, so that one network may learn all twenty tasks. A stimulus is a bump of activity on a ring,
around one of 16 directions; all ring units carry noise that is independent at each step of 100 ms.

What it may do: fixate (0), or answer one of 16 directions (1 to 16).

How it is scored: the fraction of right answers in the decision window alone.

    Go, Anti                    go to the stimulus, or the opposite way, when fixation ends
    RTGo, RTAnti                the same at once, fixation never ends
    DlyGo, DlyAnti              the same from memory, after a delay
    DM1, DM2                    of two stimuli in modality 1 (2), go to the stronger one
    CtxDM1, CtxDM2              the same, while modality 2 (1) shows others of other strengths
    MultiDM                     the same, both modalities show the same strengths
    DlyDM1, DlyDM2, CtxDlyDM1, CtxDlyDM2, MultiDlyDM      the same, one stimulus after the other
    DMS, DNMS                   go to the second stimulus if its direction matches (does not match)
    DMC, DNMC                   the same for its category, which half of the ring it lies on

When it ends: after the decision window.

Chance and ceiling: chance is the best constant answer: any direction, right once in 16 times, or
fixation in the matching tasks, right half of the time. The ideal observer computes the posterior
over all directions, modalities and strengths from the noisy units, and answers what is most likely
right; the ceiling is its accuracy over many trials. In stage "shift" the noise is higher and delays
are twice as long.

Source: Yang, Joglekar, Song, Newsome, Wang (2019), Nature Neuroscience 22:297.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from neurotasks.agent import Agent, Observer, Policy
from neurotasks.arrays import Array
from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import ACCURACY
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.task import Batch, TrialTask
from neurotasks.timeline import Timeline

UNITS = 16  # of a ring, one for each direction
HEIGHT, WIDTH = 0.8, np.pi / 8  # of a bump
COHERENCES = np.array([0.08, 0.16, 0.32])  # strengths of two stimuli are 1 plus and minus it
NEAREST = 4  # two stimuli lie at least so many directions apart
RINGS = (slice(1, 1 + UNITS), slice(1 + UNITS, 1 + 2 * UNITS))
NOISE, DELAY = 0.4, 5
_TRIALS = 120_000  # that ceilings rest on


class Rule(NamedTuple):
    """What one of the tasks demands."""

    family: str  # "go", "decide" or "match"
    timing: str = "plain"  # or "reaction", "delay"
    inverted: bool = False  # the opposite way; where it does not match
    modality: int | None = None  # the one that counts in a decision; None for both together
    context: bool = False  # whether the other modality distracts
    category: bool = False  # match halves of the ring instead of directions


RULES: Mapping[str, Rule] = {
    "Go": Rule("go"),
    "RTGo": Rule("go", "reaction"),
    "DlyGo": Rule("go", "delay"),
    "Anti": Rule("go", inverted=True),
    "RTAnti": Rule("go", "reaction", inverted=True),
    "DlyAnti": Rule("go", "delay", inverted=True),
    "DM1": Rule("decide", modality=0),
    "DM2": Rule("decide", modality=1),
    "CtxDM1": Rule("decide", modality=0, context=True),
    "CtxDM2": Rule("decide", modality=1, context=True),
    "MultiDM": Rule("decide"),
    "DlyDM1": Rule("decide", "delay", modality=0),
    "DlyDM2": Rule("decide", "delay", modality=1),
    "CtxDlyDM1": Rule("decide", "delay", modality=0, context=True),
    "CtxDlyDM2": Rule("decide", "delay", modality=1, context=True),
    "MultiDlyDM": Rule("decide", "delay"),
    "DMS": Rule("match", "delay"),
    "DNMS": Rule("match", "delay", inverted=True),
    "DMC": Rule("match", "delay", category=True),
    "DNMC": Rule("match", "delay", inverted=True, category=True),
}

# Ceilings in stages test and shift: the ideal observer over 120,000 trials.
CEILINGS: Mapping[str, tuple[float, float]] = {
    "Go": (0.9798, 0.9361),
    "RTGo": (0.8392, 0.7398),
    "DlyGo": (0.9518, 0.8836),
    "Anti": (0.9797, 0.9364),
    "RTAnti": (0.8387, 0.7397),
    "DlyAnti": (0.9524, 0.8841),
    "DM1": (0.9339, 0.8969),
    "DM2": (0.9328, 0.8969),
    "CtxDM1": (0.9336, 0.9022),
    "CtxDM2": (0.9335, 0.9035),
    "MultiDM": (0.9678, 0.9477),
    "DlyDM1": (0.8728, 0.8081),
    "DlyDM2": (0.8734, 0.8069),
    "CtxDlyDM1": (0.8834, 0.8383),
    "CtxDlyDM2": (0.8838, 0.8367),
    "MultiDlyDM": (0.9327, 0.8970),
    "DMS": (0.9973, 0.9865),
    "DNMS": (0.9780, 0.9470),
    "DMC": (0.9678, 0.9220),
    "DNMC": (0.9669, 0.9197),
}


def phases(rule: Rule, delay: int) -> dict[str, int]:
    """Return the durations of a rule's phases in steps."""
    if rule.family == "go":
        return {
            "plain": {"fixation": 2, "first": 5, "decision": 3},
            "reaction": {"fixation": 2, "decision": 6},
            "delay": {"fixation": 2, "first": 5, "delay": delay, "decision": 2},
        }[rule.timing]
    if rule.timing == "plain":
        return {"fixation": 2, "first": 10, "decision": 2}
    return {"fixation": 2, "first": 5, "delay": delay, "second": 5, "decision": 2}


def bumps() -> NDArray[np.float64]:
    """Return the activity of each unit for a stimulus in each direction, (16, 16)."""
    apart = np.arange(UNITS)[:, None] - np.arange(UNITS)
    apart = np.minimum(apart % UNITS, -apart % UNITS) * (2 * np.pi / UNITS)
    return np.asarray(HEIGHT * np.exp(-0.5 * (apart / WIDTH) ** 2))


def _card(name: str) -> TaskCard:
    rule, place = RULES[name], list(RULES).index(name)
    chance = 0.5 if rule.family == "match" else 1.0 / UNITS
    told = ({"noise": NOISE, "delay": DELAY}, {"noise": 1.25 * NOISE, "delay": 2 * DELAY})
    return TaskCard(
        name=f"Yang2019{name}",
        version=0,
        form="trial",
        topic="multi-task cognition",
        courses=("Neuromatch Academy", "Neuromatch Academy Deep Learning"),
        summary=f"Rule {place + 1} of twenty on two rings of noisy units: {name}.",
        metric=ACCURACY,
        ceiling="monte-carlo",
        ceiling_source="posterior over directions, modalities and strengths; 120,000 trials",
        chance_source="the best constant answer, exact",
        steps=sum(phases(rule, DELAY).values()),
        stages={
            stage: Stage(
                trials=2000,
                chance=chance,
                ceiling=ceiling,
                ceiling_error=float(np.sqrt(ceiling * (1 - ceiling) / _TRIALS)),  # at most
                parameters=parameters,
            )
            for stage, ceiling, parameters in zip(
                ("test", "shift"), CEILINGS[name], told, strict=True
            )
        },
        splits={"train": 20_000, "validation": 1_000, "test": 2_000},
        licence="generated; MIT",
        citation="Yang, Joglekar, Song, Newsome, Wang (2019), Nature Neuroscience 22:297",
        tags=("cognition", "multi-task", rule.family),
    )


class _Yang2019(TrialTask):
    """Two rings of units and a rule."""

    rule: ClassVar[Rule]
    observation_space = spaces.Box(-10.0, 10.0, (1 + 2 * UNITS + len(RULES),), np.float32)
    action_space = spaces.Discrete(1 + UNITS)

    def generate(self, draw: Draw, *, noise: float, delay: int) -> Batch:
        """Draw directions and strengths, lay out the bumps, and add noise to all units."""
        timeline = Timeline(draw, phases(self.rule, delay))
        x = timeline.blank(1 + 2 * UNITS + len(RULES))
        watched = [name for name in timeline.start if name != "decision"]
        timeline.show(x, 0, 1.0, *timeline.start if self.rule.timing == "reaction" else watched)
        timeline.show(x, 1 + 2 * UNITS + self._place, 1.0, *timeline.start)
        lay = {"go": self._go, "decide": self._decide, "match": self._match}[self.rule.family]
        wanted, trials = lay(draw, timeline, x)
        timeline.noise(x, slice(1, 1 + 2 * UNITS), noise)
        return timeline.batch(x, wanted, "decision", {**trials, "wanted": wanted})

    @property
    def _place(self) -> int:
        return list(RULES.values()).index(self.rule)

    def _go(self, draw: Draw, timeline: Timeline, x: Array) -> tuple[Array, dict[str, Array]]:
        direction, modality = draw.integers("direction", UNITS), draw.integers("modality", 2)
        during = [name for name in ("first", "decision") if name in timeline.start]
        _lay(timeline, x, modality, direction, during[: 1 if self.rule.timing == "delay" else 2])
        wanted = (direction + UNITS // 2 * self.rule.inverted) % UNITS + 1
        return wanted, {"direction": direction, "modality": modality}

    def _decide(self, draw: Draw, timeline: Timeline, x: Array) -> tuple[Array, dict[str, Array]]:
        xp, rule = draw.xp, self.rule
        first = draw.integers("direction", UNITS)
        second = (first + NEAREST + draw.integers("apart", UNITS - 2 * NEAREST + 1)) % UNITS
        signed = draw.asarray(np.concatenate([COHERENCES, -COHERENCES]))
        coherence = signed[draw.integers("coherence", len(signed))]
        other = signed[draw.integers("distractor", len(signed))]
        shape = draw.asarray(bumps())
        later = "first" if rule.timing == "plain" else "second"
        for modality, ring in enumerate(RINGS):
            counts = rule.modality in (None, modality)
            if counts or rule.context:
                c = coherence if counts else other
                timeline.show(x, ring, (1.0 + c)[:, None] * shape[first], "first")
                timeline.show(x, ring, (1.0 - c)[:, None] * shape[second], later)
        wanted = xp.where(coherence > 0, first, second) + 1
        return wanted, {"first": first, "second": second, "coherence": coherence}

    def _match(self, draw: Draw, timeline: Timeline, x: Array) -> tuple[Array, dict[str, Array]]:
        xp, half = draw.xp, UNITS // 2
        first, modality = draw.integers("direction", UNITS), draw.integers("modality", 2)
        matches = draw.integers("match", 2) == 1
        if self.rule.category:
            side = (first // half + xp.astype(~matches, xp.int64)) % 2
            second = side * half + draw.integers("within", half)
        else:
            apart = NEAREST + draw.integers("apart", UNITS - 2 * NEAREST + 1)
            second = (first + xp.where(matches, 0, apart)) % UNITS
        _lay(timeline, x, modality, first, ["first"])
        _lay(timeline, x, modality, second, ["second"])
        wanted = xp.where(matches != self.rule.inverted, second + 1, 0)
        return wanted, {"first": first, "second": second, "match": matches}

    def trivial(self, stage: str = "test") -> Agent:
        """Fixate in a matching task, else always answer the first direction."""
        self.card.stage(stage)
        label = 0 if self.rule.family == "match" else 1
        return Policy(lambda x: np.full(x.shape[:2], label))

    def ideal(self, stage: str = "test") -> Agent:
        """Answer what is most likely right under the posterior."""
        told = self.card.stage(stage).parameters
        return Observer(_Posterior(self.rule, float(told["noise"]), int(told["delay"])))


def _lay(
    timeline: Timeline, x: Array, modality: Array, direction: Array, during: Sequence[str]
) -> None:
    """Lay a bump over some phases, on the ring of the trial's modality."""
    shape = timeline.draw.asarray(bumps())[direction]
    for number, ring in enumerate(RINGS):
        timeline.show(x, ring, shape * (modality == number)[:, None], *during)


@dataclass(frozen=True)
class _Posterior:
    """The ideal observer of a rule.

    A stimulus of strength s in direction d explains n steps with the log-likelihood
    (s p[d] - n s^2 |b|^2 / 2) / noise^2, where p is the sum of the units weighted by the bump b: so
    sums over steps hold all that can be known.
    """

    rule: Rule
    noise: float
    delay: int

    def __call__(self, seen: Array) -> Array:
        """Return the answers (B, T) to all that was shown, (B, T, inputs)."""
        answer = np.zeros(seen.shape[:2], dtype=np.int64)
        durations = phases(self.rule, self.delay)
        ends = dict(zip(durations, np.cumsum(list(durations.values())).tolist(), strict=True))
        decide = {"go": self._go, "decide": self._decide, "match": self._match}[self.rule.family]
        for step in range(ends["decision"] - durations["decision"], seen.shape[1]):
            sums, steps = [], []
            for name in ("first", "second"):
                end = min(ends.get(name, 0), step + 1)
                if name == "first" and self.rule.family == "go" and self.rule.timing != "delay":
                    end = step + 1
                start = ends[name] - durations[name] if name in ends else durations["fixation"]
                part = seen[:, start : max(end, start), 1 : 1 + 2 * UNITS]
                total = part.sum(axis=1, dtype=np.float64).reshape(-1, 2, UNITS)
                sums.append(total @ bumps() / self.noise**2)
                steps.append(part.shape[1] / self.noise**2)
            answer[:, step] = decide(sums, steps)
        return answer

    def _go(self, sums: list[Array], steps: list[float]) -> Array:
        """Answer the likeliest direction, whichever the modality."""
        del steps
        direction = np.logaddexp(sums[0][:, 0], sums[0][:, 1]).argmax(axis=1)
        return (direction + UNITS // 2 * self.rule.inverted) % UNITS + 1

    def _decide(self, sums: list[Array], steps: list[float]) -> Array:
        """Answer the direction that is likeliest to hold the stronger stimulus."""
        rule, at_once = self.rule, self.rule.timing == "plain"
        one, two = sums if not at_once else (sums[0], sums[0])
        counts = [0, 1] if rule.modality is None else [rule.modality]
        mass = np.full((len(one), UNITS), -np.inf)
        for apart in range(NEAREST, UNITS - NEAREST + 1):
            overlap = steps[0] * (bumps()[0] @ bumps()[apart]) if at_once else 0.0
            there = np.roll(two, -apart, axis=2)
            told = [
                _explained(c, one[:, counts], there[:, counts], steps[0] * len(counts), overlap)
                for c in np.concatenate([COHERENCES, -COHERENCES])
            ]
            first = np.logaddexp.reduce(told[: len(COHERENCES)])
            second = np.logaddexp.reduce(told[len(COHERENCES) :])
            if rule.context:
                other = [1 - counts[0]]
                aside = np.logaddexp.reduce(
                    [
                        _explained(c, one[:, other], there[:, other], steps[0], overlap)
                        for c in np.concatenate([COHERENCES, -COHERENCES])
                    ]
                )
                first, second = first + aside, second + aside
            mass = np.logaddexp(mass, np.logaddexp(first, np.roll(second, apart, axis=1)))
        return mass.argmax(axis=1) + 1

    def _match(self, sums: list[Array], steps: list[float]) -> Array:
        """Answer the likeliest of fixation and all directions."""
        del steps
        same, differ = _pairs(self.rule.category)
        one, two = (np.exp(part - part.max(axis=(1, 2), keepdims=True)) for part in sums)
        matching, other = (((one @ pairs) * two).sum(axis=1) for pairs in (same, differ))
        go, stay = (other, matching) if self.rule.inverted else (matching, other)
        mass = np.concatenate([stay.sum(axis=1, keepdims=True), go], axis=1)
        return mass.argmax(axis=1)


def _explained(c: float, one: Array, two: Array, steps: float, overlap: float) -> Array:
    """Return the log-likelihood of two stimuli, summed over the modalities that share strengths.

    Args:
        c: Their coherence.
        one: (B, M, 16), the weighted sums for the first in each direction.
        two: The same for the second, in the order of the first's directions.
        steps: How long each was shown, over the variance, times the modalities.
        overlap: Product of both bumps, over the variance, where they are shown at once.
    """
    power = steps * float(bumps()[0] @ bumps()[0])
    quadratic = ((1 + c) ** 2 + (1 - c) ** 2) * power / 2 + (1 - c**2) * overlap * one.shape[1]
    return ((1 + c) * one + (1 - c) * two).sum(axis=1) - quadratic


def _pairs(category: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # noqa: FBT001
    """Return the prior of each first (row) and second direction in matching and other trials."""
    first, second = np.arange(UNITS)[:, None], np.arange(UNITS)
    if category:
        same = first // (UNITS // 2) == second // (UNITS // 2)
        differ = ~same
    else:
        same = first == second
        apart = (second - first) % UNITS
        differ = (apart >= NEAREST) & (apart <= UNITS - NEAREST)
    return same / same.sum(), differ / differ.sum()


for _name, _rule in RULES.items():
    _told = {"rule": _rule, "__module__": __name__, "__doc__": f"The rule {_name}."}
    register(_card(_name))(type(f"Yang2019{_name}", (_Yang2019,), _told))
