"""`ventral search`, from a space to a network's file."""

from __future__ import annotations

import json
from pathlib import Path

from small_space import small

from ventralstream.spec import spec_from_json

RECIPE = "{data: scenes, size: 16, subset: 24, val_subset: 20, epochs: 1, batch_size: 8}"


def test_a_search_from_space_to_file(tmp_path, monkeypatch, ventral):
    monkeypatch.chdir(tmp_path)
    Path("short.yaml").write_text("\n".join(part.strip() for part in RECIPE.strip("{}").split(",")))
    create = ("search", "create", small.file, "--recipe", "short.yaml", "--sampler", "random", "--trials", 3)
    create += ("--objective", "sleep", "--seconds", 0, "--max-parameters", 10_000)
    code, out, said = ventral(*create)
    assert code == 0, said
    assert "the study 'small' is in 'search.db': 4 parameters, 1 known points, 3 trials by random" in out
    assert "optuna-dashboard sqlite:///" in out
    assert ventral(*create)[0] == 0  # it is there already
    code, _, said = ventral("search", "create", small.file, "--recipe", "short.yaml", "--trials", 4)
    assert code == 2 and "there is a study 'small' already, with another sampler and trials" in said
    code, _, said = ventral("search", "work", "small", "--threads", 1)
    assert code == 0 and "3 trials of 'small' were done here; it has 3 of the 3 that it wants" in said, said
    code, out, _ = ventral("search", "status", "small")
    assert code == 0 and "3 of 3" in out and "trained" in out
    for which in ("best", "median"):
        code, out, _ = ventral("search", which, "small")
        assert code == 0 and out.startswith("trial ") and "recipe.optimizer.lr" in out
    code, out, _ = ventral("search", "export", "small", 0, "--out", "net.json")
    assert code == 0 and spec_from_json(json.loads(Path("net.json").read_text())).name == "small_0"
    code, _, said = ventral("search", "export", "small", "bst", "--out", "net.json")
    assert code == 2 and "'bst' is no trial; expected a number, 'best' or 'median'" in said
    code, _, said = ventral("search", "work", "small", "--slurm", "partition=main")
    assert code == 2 and "which an SQLite file cannot serve" in said
    code, _, said = ventral("search", "create", "cifar-smal")
    assert code == 2 and "did you mean 'cifar-small'" in said
