"""`results.json`: one run's figures in the form that scripts rely on. Absent is null."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # JSON values

from common.bundle import Bundle
from common.errors import CheckpointError, UserError
from common.files import write_json
from common.metrics.curves import calibration_curve, roc_curve
from common.metrics.types import ScoreHistogram
from server.closing import Outcome
from server.outcome_json import check_format
from server.report.modes import present_modes
from server.report.values import section
from server.results import results_json
from simulations.comparison import Budget


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
        """Return a comparison figure; None where it has no value.

        Args:
            budget: such as `federated`, `local`, `central`, `logistic/central`. name: of the metric.
            of: `mean` (over sites), `pooled` or a site's name.

        Raises:
            UserError: there is no such budget, metric or place; the text names those that there are.
        """
        compared = section(self.content, "comparison")
        if not compared:
            raise UserError("this run made no comparison, so there are no figures of it; run it with comparison=True")
        part = _pick({mode.key: section(compared, *mode.path) for mode in present_modes(compared)}, "budget", budget)
        places = {"mean": part["mean"], "pooled": part["pooled"], **part["sites"]}
        value: float | None = _pick(_pick(places, "place", of), "metric", name)["value"]
        return value


def _pick(found: Mapping[str, Any], what: str, name: str) -> Any:
    if name not in found:
        raise UserError(f"there is no {what} {name!r} in these results; there are: {', '.join(found) or 'none'}")
    return found[name]


def read_results(folder: Path) -> Results:
    """Read a finished run's folder; one without results, or with those of another format, is a UserError."""
    try:
        content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{folder} holds no finished run: results.json is missing or damaged")
    check_format(content)
    return Results(folder, content)


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
    command: Sequence[str] | None,
) -> dict[str, Any]:
    """Return the content of `results.json`; `command` are the words that run it again, None where none do."""
    return results_json(
        bundle,
        outcome,
        comparison=None if comparison is None else {**comparison, "over_seeds": None},
        curves={name: _curves(b.histogram) for name, b in budgets.items() if b.histogram is not None},
        seconds=vars(measured),
        execution={**execution, "runtime": runtime},
        command=command,
    )


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


def write_results(folder: Path, content: Mapping[str, Any]) -> Results:
    """Write `results.json`."""
    write_json(folder / "results.json", content)
    return Results(folder, content)
