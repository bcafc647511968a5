from __future__ import annotations

import dataclasses
import json

import pytest

from neurotasks.errors import CorruptSubmission
from neurotasks.submission.manifest import FORMATS, Manifest, file_names

FILES = {"predictions.npz": "0" * 64}


def test_a_manifest_comes_back_as_it_was(manifest):
    whole = manifest(
        files=FILES, seeds=(0, 2**63 - 1), claimed={"test": (0.5, -1.0)}, config={"a": [1, {}]},
        description="Line one\nline two", link="https://example.org:8080/a?b=c#d", parameters=7,
        versions={"numpy": "2.4.6"}, external_data=True, agent="\u03b2-VAE \u2116 ä",
    )  # fmt: skip
    whole = dataclasses.replace(whole, agent="β-VAE ä")
    again = Manifest.from_json(whole.to_json())
    assert again == whole
    assert again.to_json() == whole.to_json()
    with pytest.raises(TypeError):
        again.config["a"] = 1


def test_every_field_is_checked(manifest):
    told = json.loads(manifest(files=FILES).to_json())
    for name in told:
        with pytest.raises(CorruptSubmission, match=f"'{name}'|schema"):
            Manifest.from_json(json.dumps({**told, name: object.__name__ * 9000}))


def test_all_faults_are_named_at_once(manifest):
    told = json.loads(manifest(files=FILES).to_json())
    told |= {"parameters": -1, "agent": "", "rank": 1}
    del told["link"]
    with pytest.raises(CorruptSubmission) as caught:
        Manifest.from_json(json.dumps(told))
    for part in ("'parameters' is -1; it must be", "'agent' is ''", "'rank' is no field",
                 "'link' is missing"):  # fmt: skip
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "\u041clp",
        "mlp\u0301\u0301\u0301",
        "\uff4dlp",
        " mlp",
        "mlp ",
        "a\nb",
        "x" * 101,
        "a\u202eb",
    ],
)
def test_a_name_that_looks_like_another_is_refused(manifest, name):
    with pytest.raises(CorruptSubmission, match="each word in one alphabet"):
        Manifest.from_json(manifest(files=FILES, agent=name).to_json())


@pytest.mark.parametrize(
    "name", ["mlp", "β-VAE", "Сеть", "网络", "réseau (large) #2", "<b>", "a'; --"]
)
def test_other_names_are_taken(manifest, name):
    assert Manifest.from_json(manifest(files=FILES, agent=name).to_json()).agent == name


def test_numbers_that_json_does_not_know_are_not_written(manifest):
    with pytest.raises(ValueError, match="not JSON compliant"):
        manifest(seconds=float("nan")).to_json()


def test_the_files_of_each_format():
    assert file_names("onnx", (7,)) == ("model.onnx",)
    assert file_names("onnx", (7, 9)) == ("model-7.onnx", "model-9.onnx")
    assert [file_names(name, (7, 9)) for name in FORMATS[1:]] == [
        ("weights.safetensors",),
        ("predictions.npz",),
    ]
