"""`results.json`: one run's figures in the form that scripts rely on. Absent is null."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any  # JSON values

from common.bundle import Bundle
from common.errors import CheckpointError
from common.files import write_json
from common.metrics.curves import calibration_curve, roc_curve
from common.metrics.types import ScoreHistogram
from common.state import AdapterState, digest_state
from server.closing import Outcome
from simulations.comparison import Budget

FORMAT = 1
PACKAGES = ("fedpeft", "flwr", "torch", "transformers", "peft", "numpy", "safetensors", "scikit-learn")


@dataclass(frozen=True)
class Results:
    """A finished run: `content` is what `results.json` holds, `folder` is where everything lies."""

    folder: Path
    content: Mapping[str, Any]

    @property
    def adapter(self) -> Path:
        """The exported adapter's folder."""
        return self.folder / "adapter"

    def metric(self, budget: str, name: str = "auroc", *, of: str = "mean") -> float | None:
        """Return a comparison figure: `of` is `mean`, `pooled` or a site's name."""
        part = self.content["comparison"][budget]
        found = part["sites"][of] if of in part["sites"] else part[of]
        value: float | None = found[name]["value"]
        return value


def read_results(folder: Path) -> Results:
    """Read a finished run's folder."""
    try:
        return Results(folder, json.loads((folder / "results.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise CheckpointError(f"{folder} holds no finished run: results.json is missing or damaged") from None


@dataclass(frozen=True)
class Measured:
    """Seconds of the stages of a run, as lived: of the last start, if it was resumed."""

    prepare: float
    rounds: float
    comparison: float


def assemble(
    bundle: Bundle,
    outcome: Outcome,
    *,
    comparison: Mapping[str, object] | None,
    budgets: Mapping[str, Budget],
    measured: Measured,
    execution: Mapping[str, object],
    runtime: str,
) -> dict[str, Any]:
    """Return the content of `results.json`."""
    study = bundle.study.model_dump(mode="json")
    return {
        "format": FORMAT,
        "study": study,
        "seed": bundle.study.seed,
        "seeds": [bundle.study.seed],
        "initial": None if outcome.initial is None else {"validation": outcome.initial},
        "rounds": list(outcome.rounds),
        "kept_round": outcome.kept_round,
        "closing": {"participation": outcome.participation},
        "comparison": None if comparison is None else {**comparison, "over_seeds": None},
        "curves": {name: _curves(b.histogram) for name, b in budgets.items() if b.histogram is not None} or None,
        "parameters": _parameters(bundle),
        "bytes": _bytes(bundle, outcome),
        "seconds": {"total": measured.prepare + measured.rounds + measured.comparison, **vars(measured)},
        "privacy": None,
        "digests": _digests(bundle, outcome.adapter),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "execution": {**execution, "runtime": runtime},
    }


def _curves(histogram: ScoreHistogram) -> dict[str, object] | None:
    """Two classes only: one curve."""
    roc = roc_curve(histogram)
    if len(histogram.counts) > 1 or roc is None:
        return None
    calibration = calibration_curve(histogram)
    return {
        "roc": {
            "false_positive_rate": roc.false_positive_rate.tolist(),
            "true_positive_rate": roc.true_positive_rate.tolist(),
        },
        "calibration": {
            "predicted": calibration.probability.tolist(),
            "observed": calibration.observed.tolist(),
            "n": calibration.rows.tolist(),
        },
    }


def _parameters(bundle: Bundle) -> dict[str, float]:
    trainable = bundle.schema.size
    total = bundle.base_model.parameters + trainable
    return {
        "trainable": trainable,
        "shared": bundle.schema.shared.size,
        "total": total,
        "fraction": trainable / total,
    }


def _bytes(bundle: Bundle, outcome: Outcome) -> dict[str, float]:
    """The largest reply that a site sent in a round, as bytes on the wire, against the whole model in float32."""
    sent = [p["bytes_up"] for r in outcome.rounds for p in r["participation"].values() if p["bytes_up"]]
    return {
        "up_per_site_round": max(sent, default=0),
        "full_model": bundle.base_model.size_bytes + bundle.schema.size_bytes,
    }


def _digests(bundle: Bundle, adapter: AdapterState) -> dict[str, str | None]:
    return {
        "study": bundle.study.digest,
        "schema": bundle.schema.digest,
        "base_model": bundle.study.base_model.digest,
        "bundle": bundle.digest,
        "adapter": digest_state(adapter),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write_results(folder: Path, content: Mapping[str, Any]) -> Results:
    """Write `results.json`."""
    write_json(folder / "results.json", content)
    return Results(folder, content)
