"""Learn ten digits in five steps, and forget none.

What the subject sees: grey-scale images of 8 x 8 pixels of handwritten digits, each image a trial
of one step. The stream has five experiences that are never seen again. What changes from one to the
next is the protocol:

    Split      two new digits; which come together, and when, is the seed's own order
    Permuted   all digits, the pixels permuted: experience 0 shows them as they are, each later one
               under a permutation of the seed's own
    Rotated    all digits, turned by 0, 36, 72, 108 and 144 degrees

What it may do: that is the scenario. `…Task` tells the experience, as one of the five planes behind
the image is white, and asks for one of its two (ten) digits; `…Domain` asks the same without
telling; `ContinualDigits` (the split digits) and `…Class` tell nothing and ask which of the digits
of all experiences it is: 10 answers, or 50 where a digit is another one in each experience.

How it is scored: accuracy on the test images of each experience, averaged over the five, after the
last experience. Permuted and rotated streams test every image in each of the five ways. The whole
matrix (accuracy on experience j after experience i) stays in the result, with forgetting, backward
and forward transfer.

When it ends: after the one answer; the stream ends after its fifth experience.

Chance and ceiling: every digit has 45 test images, so that any constant answer earns exactly one
over the number of answers. The ceiling is a reference: the network that the continual learners use,
trained on all five experiences at once; where the experience is told, it has outputs of its own for
each.

Source: images of the Optical Recognition of Handwritten Digits set (Alpaydin and Kaynak, 1998) as
bundled with scikit-learn; scenarios after van de Ven and Tolias (2019), "Three scenarios for
continual learning"; permutations after Goodfellow et al. (2013), rotations after Lopez-Paz and
Ranzato (2017), there between 0 and 180 degrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from neurotasks.card import Stage, TaskCard
from neurotasks.metrics import AVERAGE_ACCURACY
from neurotasks.registry import register
from neurotasks.rng import Draw
from neurotasks.scenarios import (
    DIGITS,
    PAIR,
    SCENARIOS,
    Images,
    PermutedStream,
    RotatedStream,
    ScenarioStream,
    SplitStream,
)
from neurotasks.sources import digits

EXPERIENCES = 5
TESTED = 45  # test images of each digit; the other 129 to 138 of it are for learning
TRAINED = 1347  # images for learning, of all digits
_SPLIT = "ContinualDigits-v0"  # all streams hold out the same images

STREAMS: Mapping[str, type[ScenarioStream]] = {
    "Split": SplitStream,
    "Permuted": PermutedStream,
    "Rotated": RotatedStream,
}

# Accuracy of joint training and its standard error over ten seeds.
CEILINGS: Mapping[tuple[str, str], tuple[float, float]] = {
    ("Split", "Task"): (0.9949, 0.0013),
    ("Split", "Domain"): (0.9847, 0.0018),
    ("Split", "Class"): (0.981, 0.0015),
    ("Permuted", "Task"): (0.9759, 0.0005),
    ("Permuted", "Domain"): (0.9773, 0.0006),
    ("Permuted", "Class"): (0.9758, 0.0007),
    ("Rotated", "Task"): (0.9801, 0.0004),
    ("Rotated", "Domain"): (0.9835, 0.0007),
    ("Rotated", "Class"): (0.9777, 0.0006),
}
TAUGHT = {
    "Split": "Learn ten handwritten digits two at a time",
    "Permuted": "Learn ten handwritten digits under five permutations of the pixels",
    "Rotated": "Learn ten handwritten digits turned by five angles",
}


def _name(protocol: str, scenario: str) -> str:
    first = (protocol, scenario) == ("Split", "Class")
    return "ContinualDigits" if first else f"{protocol}Digits{scenario}"


def _card(protocol: str, scenario: str) -> TaskCard:
    shows = 1 if protocol == "Split" else EXPERIENCES  # how many times the stream shows an image
    answers = PAIR if protocol == "Split" else DIGITS
    ceiling, error = CEILINGS[protocol, scenario]
    return TaskCard(
        name=_name(protocol, scenario),
        version=0,
        form="stream",
        topic="continual learning",
        courses=("Neuromatch Academy Deep Learning, W3D4 Tutorial 1",),
        summary=f"{TAUGHT[protocol]}, {SCENARIOS[scenario]}.",
        metric=AVERAGE_ACCURACY,
        ceiling="reference",
        ceiling_source="network of two hidden layers of 128 units trained on all experiences at "
        "once (SGD, learning rate 0.03, momentum 0.9, batches of 32, 40 passes), mean of 10 seeds",
        chance_source="any constant answer, exact",
        steps=1,
        stages={
            "test": Stage(
                trials=DIGITS * TESTED * shows,
                chance=1 / (answers * EXPERIENCES if scenario == "Class" else answers),
                ceiling=ceiling,
                ceiling_error=error,
            )
        },
        splits={"train": TRAINED * shows, "test": DIGITS * TESTED * shows},
        data="embedded",
        licence="CC BY 4.0 (UCI Machine Learning Repository)",
        citation="Alpaydin, Kaynak (1998), Optical Recognition of Handwritten Digits, UCI",
        tags=("vision", "classification", f"{scenario.lower()}-incremental"),
    )


@lru_cache(maxsize=1)
def _digits() -> Images:
    """Load the images and split them once and for all, each digit by itself.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    pictures, labels = digits()
    shuffled = Draw(_SPLIT, "test", 0).permutation("split", len(labels))[0]
    rows = [shuffled[labels[shuffled] == digit] for digit in range(DIGITS)]
    train = np.sort(np.concatenate([row[TESTED:] for row in rows]))
    test = np.sort(np.concatenate([row[:TESTED] for row in rows]))
    return Images(pictures, labels.astype(np.int64), train, test)


for _protocol, _scenario in CEILINGS:
    _facts = {
        "scenario": _scenario,
        "source": staticmethod(_digits),
        "side": 8,
        "experiences": EXPERIENCES,
        "__module__": __name__,
        "__doc__": f"{TAUGHT[_protocol]}, {SCENARIOS[_scenario]}.",
    }
    _made = type(_name(_protocol, _scenario), (STREAMS[_protocol],), _facts)
    register(_card(_protocol, _scenario))(_made)
