from __future__ import annotations

import subprocess
import sys
import textwrap

import gymnasium
import numpy as np
import pytest

import neurotasks
from leaderboard.collect import collect
from leaderboard.pages import build
from neurotasks import registry
from neurotasks.cli import main
from neurotasks.errors import CardError, DuplicateTask, UnknownTask

TASK_FILE = '''
"""Say whether a coin shows heads.

What the subject sees: the coin's side, with noise.
"""

import numpy as np
from gymnasium import spaces

from neurotasks import Batch, Draw, Stage, TaskCard, TrialTask, register
from neurotasks.agent import Policy
from neurotasks.metrics import ACCURACY

CARD = TaskCard(
    name="NoisyCoin", version=0, form="trial", topic="examples", courses=("none",),
    summary="Say whether a noisy coin shows heads.", metric=ACCURACY, ceiling="exact",
    ceiling_source="normal distribution function at 1 and 0.5", chance_source="either side",
    steps=1, splits={"train": 1000}, licence="MIT", citation="Nobody (2026)",
    stages={
        "test": Stage(trials=4000, chance=0.5, ceiling=0.841345, parameters={"noise": 1.0}),
        "shift": Stage(trials=4000, chance=0.5, ceiling=0.691462, parameters={"noise": 2.0}),
    },
)


@register(CARD)
class NoisyCoin(TrialTask):
    """The coin."""

    observation_space = spaces.Box(-20.0, 20.0, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def generate(self, draw: Draw, *, noise: float) -> Batch:
        xp = draw.xp
        heads = draw.integers("heads", 2)
        seen = xp.astype(2 * heads - 1, xp.float32) + noise * draw.normal("noise")
        mask = xp.ones((draw.size, 1), dtype=xp.bool, device=draw.device)
        return Batch(seen[:, None, None], heads[:, None], mask, {"heads": heads})

    def trivial(self, stage="test"):
        return Policy(lambda x: np.zeros(x.shape[:2], dtype=np.int64))

    def ideal(self, stage="test"):
        return Policy(lambda x: (x[..., 0] > 0).astype(np.int64))
'''


@pytest.fixture
def coin_package(tmp_path, monkeypatch):
    """A third party's package with one task file; the registry is put back afterwards."""
    package = tmp_path / "coin_tasks"
    package.mkdir()
    (package / "__init__.py").write_text('"""Tasks of a third party."""')
    (package / "noisy_coin.py").write_text(TASK_FILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    registry.load.cache_clear()
    yield package
    registry.load.cache_clear()
    gymnasium.registry.pop("neurotasks/NoisyCoin-v0", None)
    for name in [name for name in sys.modules if name.startswith("coin_tasks")]:
        del sys.modules[name]


def test_adding_a_task_is_one_file(coin_package, capsys):
    neurotasks.discover("coin_tasks")
    assert "NoisyCoin-v0" in [card.label for card in neurotasks.cards()]
    from neurotasks import testing  # noqa: PLC0415 - after the task is there, as a newcomer would

    testing.check_task("NoisyCoin-v0")
    testing.check_backends("NoisyCoin-v0", pytest.importorskip("array_api_compat.torch"))
    env = gymnasium.make("neurotasks/NoisyCoin-v0")
    env.reset(seed=0)
    env.close()
    worlds = gymnasium.make_vec("neurotasks/NoisyCoin-v0", num_envs=3)
    assert worlds.reset(seed=0)[0].shape == (3, 1)
    assert main(["show", "NoisyCoin-v0"]) == 0
    shown = capsys.readouterr().out
    assert "What the subject sees: the coin's side" in shown
    assert "0.841345" in shown
    page = build(collect((), neurotasks.cards()), "Board")["tasks/NoisyCoin-v0.html"].decode()
    assert "The coin&#39;s side, with noise" in page
    assert "No result yet." in page


def test_a_copied_file_with_an_unchanged_name_fails_at_import(coin_package):
    neurotasks.discover("coin_tasks")
    (coin_package / "copied.py").write_text(TASK_FILE)
    with pytest.raises(DuplicateTask, match=r"noisy_coin and by coin_tasks\.copied.*another name"):
        neurotasks.discover("coin_tasks")


def test_a_class_of_another_form_than_its_card_fails_at_import(coin_package):
    text = TASK_FILE.replace('form="trial"', 'form="control"')
    (coin_package / "noisy_coin.py").write_text(text)
    with pytest.raises(CardError, match="declares form 'control': inherit from ControlTask"):
        neurotasks.discover("coin_tasks")


@pytest.mark.parametrize("name", ["OrientationDecodng-v0", "neurotasks/OrientationDecoding-v7"])
def test_an_unknown_id_names_the_nearest(name):
    with pytest.raises(UnknownTask, match="did you mean OrientationDecoding"):
        neurotasks.load(name)


def test_an_id_like_no_other_points_to_the_list():
    with pytest.raises(UnknownTask, match="`neurotasks list` shows all ids"):
        neurotasks.load("zzzzzz")


def test_gymnasium_itself_suggests_the_nearest():
    with pytest.raises(gymnasium.error.NameNotFound, match="Did you mean: `OrientationDecoding`"):
        gymnasium.make("neurotasks/OrientationDecodng-v0")


def test_cards_are_found_by_globs():
    labels = [card.label for card in neurotasks.find("Orientation*")]
    assert "OrientationDecoding-v0" in labels
    assert all(label.startswith("Orientation") for label in labels)
    assert [c.id for c in neurotasks.find("neurotasks/OrientationDecoding-v0")]


def test_several_globs_are_found_with_commas():
    labels = {card.label for card in neurotasks.find("CartPole-v0, OrientationDecoding-v*")}
    assert labels == {"CartPole-v0", "OrientationDecoding-v0"}


def test_a_task_is_one_object_for_all_who_ask():
    assert neurotasks.load("CartPole-v0") is neurotasks.load("CartPole-v0")


def fresh(code):
    return subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )


def test_make_works_without_importing_the_package_first():
    done = fresh("""
        import gymnasium
        env = gymnasium.make("neurotasks:neurotasks/OrientationDecoding-v0")
        print(env.reset(seed=0)[0].shape)
    """)
    assert done.stdout == "(64,)\n", done.stderr


def test_specs_are_plain_strings():
    for card in neurotasks.cards():
        spec = gymnasium.spec(card.id)
        assert gymnasium.envs.registration.EnvSpec.from_json(spec.to_json()) == spec


def test_importing_and_listing_loads_no_heavy_library():
    done = fresh("""
        import sys, neurotasks
        neurotasks.cards()
        heavy = {"torch", "sklearn", "scipy", "PIL", "pooch", "rich", "stable_baselines3"}
        print(sorted(heavy & set(sys.modules)))
    """)
    assert done.stdout == "[]\n", done.stderr


def test_the_face_is_whole_and_sorted():
    assert neurotasks.__all__ == sorted(neurotasks.__all__)
    public = {
        name
        for name, value in vars(neurotasks).items()
        if not name.startswith("_") and not isinstance(value, type(neurotasks))
    }
    assert public == set(neurotasks.__all__)


def test_every_task_describes_itself_under_the_fixed_headings():
    headings = ("What the subject sees", "What it may do", "How it is scored", "When it ends")
    for card in neurotasks.cards():
        text = sys.modules[registry.task_class(card.id).__module__].__doc__
        for heading in (*headings, "Chance and ceiling", "Source"):
            assert f"\n{heading}: " in text, f"{card.label} lacks {heading!r}"


def test_spaces_are_gymnasium_spaces_of_finite_bounds():
    for card in neurotasks.cards():
        cls = registry.task_class(card.id)
        for space in (cls.observation_space, cls.action_space):
            if isinstance(space, gymnasium.spaces.Box):
                assert np.isfinite(space.low).all(), card.label
                assert np.isfinite(space.high).all(), card.label
