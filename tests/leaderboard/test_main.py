from __future__ import annotations

import pytest

from leaderboard.__main__ import main


def test_build_writes_a_site_that_others_may_read(filled, tmp_path, capsys):
    out = tmp_path / "site"
    assert main(["build", "--results", str(filled.path), "--out", str(out), "--title", "T"]) == 0
    assert str(out / "index.html") in capsys.readouterr().out
    assert (out / "index.html").stat().st_mode & 0o044 == 0o044
    assert not list(out.rglob(".*"))
    assert "<h1>T</h1>" in (out / "index.html").read_text()


def test_rank_prints_every_agent_of_every_task(folder, card, make, capsys):
    for agent, level in {"ideal": 1.0, "[red]mlp": 0.8, "trivial": 0.0}.items():
        folder.add(make(card, agent, [level - 0.01, level + 0.01]))
    folder.add(make(card, "old", [0.5], card="0" * 16))
    folder.add(make(card, "mlp", [0.5], task="neurotasks/Gone-v0"))
    assert main(["rank", "--results", str(folder.path)]) == 0
    out = capsys.readouterr().out
    for words in (card.topic.upper(), card.label, "[red]mlp", "0.80 ± 0.13", "ideal", "Gone-v0"):
        assert words in out
    assert out.index("ideal") < out.index("[red]mlp") < out.index("trivial")
    assert f"of an earlier {card.label}" in out


def test_a_corrupt_file_is_named_on_one_line_and_nothing_is_written(filled, tmp_path, capsys):
    out = tmp_path / "site"
    filled.made[3].write_text("{")
    assert main(["build", "--results", str(filled.path), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(filled.made[3]) in error
    assert not out.exists()


@pytest.mark.parametrize("command", ["build", "rank"])
def test_an_empty_folder_is_told_on_one_line(tmp_path, capsys, command):
    assert main([command, "--results", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("leaderboard: there is no result in")
    assert error.count("\n") == 1


def test_an_unwritable_out_is_told_on_one_line(filled, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "site"
    assert main(["build", "--results", str(filled.path), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "cannot write into" in error
    assert error.count("\n") == 1


def test_a_site_inside_the_results_is_refused(filled, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["build", "--results", str(filled.path), "--out", str(filled.path / "site")])
    assert caught.value.code == 2
    assert "choose a folder outside" in capsys.readouterr().err
