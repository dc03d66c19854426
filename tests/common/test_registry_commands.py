"""`fedpeft registry`: what is typed and seen; a mistake is one line and exit 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.adapter_folder import write_adapter
from common.bundle import Bundle
from common.command import main
from common.state import digest_state

COMMANDS = ["common.registry_commands"]
Call = Callable[..., int]


@pytest.fixture(scope="module")
def filled(make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs and a registry that has both, to be copied."""
    place = tmp_path_factory.mktemp("filled")
    for seed in (1, 2):
        bundle, rng = make_bundle(f"seed={seed}"), np.random.default_rng(seed)
        shared = {t.name: rng.normal(size=t.shape).astype(np.float32) for t in bundle.schema.shared.tensors}
        write_adapter(place / f"run-{seed}" / "adapter", bundle, shared, card="")
        metric = {"auroc": {"value": 0.8 + seed / 100, "low": 0.7, "high": 0.9, "n": 31}}
        results = {
            "format": 1, "seed": seed, "initial": None, "privacy": None, "versions": {"python": "3.11"},
            "metrics": [{"name": "auroc", "label": "AUROC", "higher_is_better": True}],
            "rounds": [{"round": 1, "validation": {"pooled": metric}}], "kept_round": 1,
            "comparison": {"federated": {"pooled": metric, "mean": metric}},
            "digests": {"study": bundle.study.digest, "adapter": digest_state(shared)},
        }  # fmt: skip
        (place / f"run-{seed}" / "results.json").write_text(json.dumps(results))
        assert run("add", place / f"run-{seed}", "--registry", place / "registry", "--promote") == 0
    return place


def run(*arguments: object) -> int:
    try:
        return main(["registry", *map(str, arguments)], commands=COMMANDS)
    except SystemExit as done:
        return int(done.code or 0)


@pytest.fixture
def call(filled: Path, tmp_path: Path) -> Call:
    """Run a command on a registry of the test's own, which is `tmp_path / "registry"`."""
    shutil.copytree(filled / "registry", tmp_path / "registry")

    def with_registry(*arguments: object) -> int:
        return run(*arguments, "--registry", tmp_path / "registry")

    return with_registry


def test_a_list_shows_every_version_and_the_promoted_one(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list") == 0
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert first.startswith("quick@1")
    assert "test AUROC 0.810 (0.700 to 0.900)" in first
    assert "promoted" not in first
    assert second.endswith("promoted")


def test_a_damaged_entry_is_named_beside_the_list(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "registry/quick/versions/0001/version.json").write_text('{"form')
    assert call("list") == 0
    said = capsys.readouterr()
    assert "quick@2" in said.out
    assert said.err.startswith("quick@1: version.json is cut off")
    assert call("check") == 2
    assert "problems in the registry" in capsys.readouterr().err
    assert call("show", "quick@1") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_empty_registry_says_how_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--registry", tmp_path / "none") == 0
    assert "add one: fedpeft registry add RUN" in capsys.readouterr().out


def test_one_version_is_shown_with_its_history(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("show", "quick") == 0
    said = capsys.readouterr().out
    assert said.startswith("quick@2, added ")
    assert "promoted quick@2  as it was added" in said
    assert call("show", "quick@1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["number"], found["pruned"]) == (1, False)
    assert [each["event"] for each in found["history"]] == ["added", "promoted"]


def test_rollback_promote_and_prune(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("rollback", "quick", "--reason", "worse in the north") == 0
    assert "from quick@2 to quick@1" in capsys.readouterr().out
    assert call("rollback", "quick") == 2
    assert call("promote", "quick") == 2
    assert "expected NAME@N, such as quick@1" in capsys.readouterr().err
    assert call("promote", "quick@2") == 0
    assert call("prune", "quick", "--keep", 1) == 0  # the other is the way back
    assert "pruned nothing" in capsys.readouterr().out


def test_a_difference_is_of_metrics_study_tensors_and_digests(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("diff", "quick@1", "quick@2") == 0
    said = capsys.readouterr().out
    assert "+0.010" in said
    assert "keys of the studies that differ: 1" in said
    assert "digests that differ: 3 of 6" in said
    assert call("diff", "quick@1", "quick@2", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["study"] == [{"key": "seed", "first": 1, "second": 2}]
    assert found["tensors"]["whole"]["norm"] > 0
    assert call("diff", "quick@1", "quick") == 2


def test_json_is_for_machines(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list", "--json") == 0
    found = json.loads(capsys.readouterr().out)["quick"]
    assert (found["promoted"], len(found["versions"]), found["problems"]) == (2, 2, [])
    (tmp_path / "registry/quick/versions/0001/results.json").unlink()
    assert call("check", "--json") == 2
    (problem,) = json.loads(capsys.readouterr().out)
    assert (problem["version"], problem["file"], problem["what"]) == (1, "results.json", "is missing")


def test_what_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("add", tmp_path, "--registry", tmp_path / "registry") == 2
    said = capsys.readouterr().err
    assert "is not a run" in said
    assert said.count("\n") == 1


def test_no_text_of_a_run_moves_the_cursor(filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(filled / "run-1", tmp_path / "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    results["metrics"][0]["label"] = "AUROC\x1b[2K\rnothing was added"
    (tmp_path / "run" / "results.json").write_text(json.dumps(results))
    assert run("add", tmp_path / "run", "--registry", tmp_path / "registry") == 0
    assert run("list", "--registry", tmp_path / "registry") == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "AUROC?[2K?nothing was added" in said.out
