"""Whole runs of what a strategy may ask beyond the plain plan: the same bytes whether they were interrupted or not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from common.adapter_folder import read_adapter
from common.carried import split_carried
from common.state import digest_state
from server.events import Event, RoundFinished
from simulations.results import Results
from simulations.run import run

FAST = ("training.local_epochs=1", "evaluation.resamples=5", "peft.dropout=0.1")
Play = Callable[..., Results]


def play(out: Path, *overrides: str, stop_after: int = 0, **options: Any) -> Results:
    def look(event: Event) -> None:
        if isinstance(event, RoundFinished) and event.round == stop_after:
            raise KeyboardInterrupt

    given = [*FAST, *overrides]
    return run("quick", out=out, overrides=given, progress=look, **{"comparison": False, **options})


RUNS = {
    "ranks": ("aggregation={name='hetlora',weighting_by='examples'}", "federation.ranks={north=1, east=3}"),
    "carried": ("aggregation.name='fedex-lora'",),
    "the best carried": ("aggregation.name='fedex-lora'", "evaluation.keep='best'"),
    "turned": ("aggregation.name='fedrot-lora'",),
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_resumed_run_has_the_same_bytes(kind: str, tmp_path: Path) -> None:
    whole = play(tmp_path / "whole", *RUNS[kind])
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path / "stopped", *RUNS[kind], stop_after=2)
    if "carried" in kind:
        kept = load_file(next((tmp_path / "stopped" / "checkpoint").glob("round-*/tensors.safetensors")))
        parts = ("shared", "best") if "best" in kind else ("shared",)
        assert all(any(name.startswith(f"{part}/carried.") for name in kept) for part in parts)
    resumed = play(tmp_path / "stopped", *RUNS[kind], resume=True)
    assert bytes_of(whole) == bytes_of(resumed)
    for record in whole.content["rounds"]:
        assert {share["status"] for share in record["participation"].values()} == {"accepted"}


def bytes_of(results: Results) -> bytes:
    return (results.adapter / "adapter.safetensors").read_bytes()


def test_a_site_of_a_lower_rank_sends_and_receives_its_part_only(tmp_path: Path) -> None:
    """Of rank 4: `north` has one, `east` three; 4 layers of 32 x 32, so 256 float32 numbers for each rank."""
    found = play(tmp_path / "run", *RUNS["ranks"], comparison=True)
    for record in found.content["rounds"]:
        share = record["participation"]
        for direction, text in (("bytes_up", 400), ("bytes_down", 5)):  # metrics differ in length, heads hardly
            sizes = {site: share[site][direction] for site in ("east", "north", "west")}
            assert sizes["west"] - sizes["east"] == pytest.approx(1024, abs=text)
            assert sizes["east"] - sizes["north"] == pytest.approx(2048, abs=text)
    compared = found.content["comparison"]
    assert compared["federated"]["pooled"]["auroc"]["reason"] is not None  # each site scores a model of its own
    assert set(compared["personalised"]["sites"]) == {"east", "north", "west"}
    adapter = read_adapter(found.adapter).shared
    assert all(np.any(array) for array in adapter.values())


def test_what_is_carried_is_kept_exported_and_said(tmp_path: Path) -> None:
    found = play(tmp_path / "run", *RUNS["carried"], comparison=True)
    exported = read_adapter(found.adapter)
    carried = split_carried(exported.shared)[1]
    ranks = 3 * (3 - 1) * 4  # rounds x (sites - 1) x the study's rank
    assert {array.shape for array in carried.values()} == {(ranks, 32), (32, ranks)}
    content = found.content
    assert content["digests"]["carried"] == exported.digests["carried"] == digest_state(carried)
    assert content["parameters"]["carried"] == 4 * 2 * ranks * 32
    down = [record["participation"]["east"]["bytes_down"] for record in content["rounds"]]
    up = [record["participation"]["east"]["bytes_up"] for record in content["rounds"]]
    assert down[1] - down[0] > 4 * 4 * 2 * ranks // 3 * 32  # nothing is carried to the first round
    assert max(up) - min(up) < 200
    peft = load_file(found.adapter / "adapter_model.safetensors")
    assert {array.shape for array in peft.values()} == {(28, 32), (32, 28)}
    config = json.loads((found.adapter / "adapter_config.json").read_text())
    assert set(config["rank_pattern"].values()) == {28}
    assert set(config["alpha_pattern"].values()) == {56}  # s = 8 / 4 = 56 / 28
    assert set(content["comparison"]["personalised"]["sites"]) == {"east", "north", "west"}


def test_a_turn_of_no_strength_is_the_plain_mean(tmp_path: Path) -> None:
    """To the last bit where each site is trained alone: a group's sums are rounded otherwise."""
    name, one = "aggregation.name='fedrot-lora'", "federation.rounds=1"
    still = play(tmp_path / "still", name, one, "aggregation.rotation=0.0", group_size=1)
    plain = play(tmp_path / "plain", one, group_size=1)
    turned = play(tmp_path / "turned", name, one, "aggregation.rotation=1.0", group_size=1)
    assert bytes_of(still) == bytes_of(plain) != bytes_of(turned)
