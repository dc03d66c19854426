"""What an outcome is in JSON: the part that `results.json` of a simulation and `outcome.json` of real sites share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any, Final  # JSON values

from common.adapter_folder import is_peft_directory
from common.bundle import Bundle
from common.carried import carried_digest
from common.errors import UserError
from common.metrics.measure import MetricInfo
from common.state import HEAD, AdapterState, digest_state
from common.study_task import task_of

if TYPE_CHECKING:  # it would bring Flower to whoever reads a report
    from server.closing import Outcome

FORMAT: Final = 1


def outcome_json(bundle: Bundle, outcome: Outcome) -> dict[str, Any]:
    """Return format, study, seed, metrics, rounds, what the adapter's folder holds, and digests; absent is null.

    The first of the metrics is the leading one.
    """
    return {
        "format": FORMAT,
        "study": bundle.study.model_dump(mode="json"),
        "seed": bundle.study.seed,
        "metrics": [_info(info) for info in task_of(bundle.study.task).measure.infos],
        "initial": None if outcome.initial is None else {"validation": outcome.initial},
        "rounds": list(outcome.rounds),
        "kept_round": outcome.kept_round,
        "stopped_early": outcome.stopped_early,
        "closing": {"participation": outcome.participation},
        "export": _export(bundle),
        "digests": _digests(bundle, outcome.adapter),
    }


def _info(info: MetricInfo) -> dict[str, Any]:
    """A bound that is infinite is null, as all that is absent."""
    bounds = {name: value if isfinite(value) else None for name, value in (("low", info.low), ("high", info.high))}
    return {**asdict(info), **bounds}


def _export(bundle: Bundle) -> dict[str, object]:
    """Say whether peft loads the adapter's folder, and of which groups (`shared`, `private`) the head's tensors are."""
    head = sorted({tensor.group for tensor in bundle.schema.tensors if tensor.name.startswith(HEAD)})
    return {"peft": is_peft_directory(bundle), "head": head}


def _digests(bundle: Bundle, adapter: AdapterState) -> dict[str, str | None]:
    return {
        "study": bundle.study.digest,
        "schema": bundle.schema.digest,
        "base_model": bundle.study.base_model.digest,
        "bundle": bundle.digest,
        "adapter": digest_state(adapter),
        "carried": carried_digest(adapter),
    }


def check_format(content: Mapping[str, Any]) -> None:
    """Raise UserError unless this is the content of a results.json or outcome.json of our format."""
    found = content.get("format")
    if found != FORMAT:
        raise UserError(
            f"results have format {found!r}, this fedpeft reads {FORMAT}; was results.json made by another version?"
        )
