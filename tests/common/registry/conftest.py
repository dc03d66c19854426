"""Finished runs as `fedpeft simulate` leaves them, made in milliseconds: a real adapter, and results by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.adapter_folder import write_adapter
from common.bundle import Bundle
from common.state import digest_state

MakeRun = Callable[..., Path]


def metric(value: float) -> dict[str, object]:
    return {"value": value, "low": value - 0.1, "high": value + 0.05, "n": 31}


def results(adapter: str, study: str, auroc: float, *, seed: int) -> dict[str, Any]:
    """What the registry reads of a results.json; the metrics of round 1 are others than those of round 2."""
    return {
        "format": 1,
        "seed": seed,
        "metrics": [{"name": "auroc", "label": "AUROC", "higher_is_better": True}],
        "initial": None,
        "rounds": [{"round": r, "validation": {"pooled": {"auroc": metric(auroc - 0.1 * r)}}} for r in (1, 2)],
        "kept_round": 2,
        "comparison": {"federated": {"pooled": {"auroc": metric(auroc)}, "mean": {"auroc": metric(auroc + 0.01)}}},
        "privacy": {"mechanism": "patient-dp", "epsilon": 8.0, "sites": {"east": 1.0}},
        "digests": {"study": study, "adapter": adapter},
        "versions": {"python": "3.11.7", "ray": None},
    }


@pytest.fixture(scope="session")
def make_run(make_bundle: Callable[..., Bundle]) -> MakeRun:
    """`make_run(folder, seed, auroc=)`: a finished run there, each seed with an adapter of its own."""

    def make(folder: Path, seed: int = 0, *, auroc: float = 0.8) -> Path:
        bundle, rng = make_bundle(), np.random.default_rng(seed)
        shared = {t.name: rng.normal(size=t.shape).astype(np.float32) for t in bundle.schema.shared.tensors}
        write_adapter(folder / "adapter", bundle, shared, card="# Card")
        content = results(digest_state(shared), bundle.study.digest, auroc, seed=seed)
        (folder / "results.json").write_text(json.dumps(content))
        (folder / "run.json").write_text(json.dumps({"run": f"run-{seed}"}))
        base = folder / "generated" / "tiny-bert"
        base.mkdir(parents=True)
        (base / "config.json").write_text("{}")
        (folder / "generated" / "quick.csv").write_text("patient,outcome\n")
        return folder

    return make
