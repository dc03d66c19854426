"""Whole runs that compress: fewer bytes, about the same model, and the same bytes after an interruption."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from common.bundle import read_bundle
from common.compressing import compression_of
from common.npy import HEADER_BYTES
from server.events import Event, RoundFinished
from simulations.results import Results
from simulations.run import run

METHODS = {"int8": "compression.method='int8'", "top-k": "compression={method='top-k', density=0.25}"}
BOTH = pytest.mark.parametrize("method", METHODS)


def play(out: Path, *overrides: str, stop_after: int = 0, resume: bool = False) -> Results:
    def look(event: Event) -> None:
        if isinstance(event, RoundFinished) and event.round == stop_after:
            raise KeyboardInterrupt

    fast = ["evaluation.resamples=5", "training.precision=fp32", "federation.rounds=4", "seed=4", *overrides]
    return run("quick", out=out, overrides=fast, comparison=False, resume=resume, progress=look)


def adapter(results: Results) -> bytes:
    return (results.adapter / "adapter.safetensors").read_bytes()


@BOTH
def test_a_resumed_run_has_the_same_bytes(method: str, tmp_path: Path) -> None:
    epoch = "training.local_epochs=1"
    whole = play(tmp_path / "whole", METHODS[method], epoch)
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path / "stopped", METHODS[method], epoch, stop_after=2)
    resumed = play(tmp_path / "stopped", METHODS[method], epoch, resume=True)
    assert adapter(resumed) == adapter(whole)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return play(tmp_path_factory.mktemp("plain") / "out")


def gain(results: Results) -> float:
    """By how much the pooled log loss of the validation rows has become lower."""
    after = [each["validation"]["pooled"]["log_loss"]["value"] for each in results.content["rounds"]]
    before: float = results.content["initial"]["validation"]["pooled"]["log_loss"]["value"]
    return before - float(after[-1])


@BOTH
def test_bytes_shrink_by_the_factor_and_the_model_has_most_of_the_gain(
    method: str, plain: Results, tmp_path: Path
) -> None:
    """Bytes beside the tensors are those of metrics and figures: texts, whose length is not quite the same.

    In four rounds a quarter of the numbers a round has not yet sent all that was trained.
    """
    found = play(tmp_path / "out", METHODS[method])
    bundle = read_bundle(found.folder / "bundle")
    shared = bundle.schema.shared
    sent = compression_of(bundle.study.compression).wire_schema(shared)
    saved = shared.size_bytes - sent.size_bytes - HEADER_BYTES  # a second dtype
    up = [results.content["bytes"]["up_per_site_round"] for results in (plain, found)]
    assert abs(up[0] - up[1] - saved) < 100
    assert sent.size_bytes < {"int8": 0.31, "top-k": 0.51}[method] * shared.size_bytes
    states = [load_file(results.adapter / "adapter.safetensors") for results in (plain, found)]
    assert any((states[0][name] != states[1][name]).any() for name in states[0])
    assert all(np.isfinite(array).all() for array in states[1].values())
    assert gain(found) > {"int8": 0.9, "top-k": 0.4}[method] * gain(plain) > 0.05
