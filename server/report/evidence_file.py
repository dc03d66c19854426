"""`evidence.json`: what the report says for who judges an adapter, for scripts. `docs/evidence.md` explains it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final  # results are JSON

from common.files import write_json
from server.report.lead import lead_of
from server.report.limits import REAL, limits
from server.report.provenance import provenance_json
from server.report.values import find, section
from server.report.weakest import weakest_json, weakest_site, weakest_subgroup

FILE: Final = "evidence.json"
FORMAT: Final = 1


def evidence_of(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence of a run from the content of `results.json`; absent is null."""
    runtime = find(results, "execution", "runtime")
    return {
        "format": FORMAT,
        "name": find(results, "study", "name"),
        "simulated": None if runtime is None else runtime != REAL,
        "leading_metric": lead_of(results).name,
        "cohort": results.get("cohort"),
        "metrics": find(results, "comparison", "federated"),
        "benefit": find(results, "comparison", "benefit"),
        "subgroups": results.get("subgroups"),
        "weakest": {
            "site": weakest_json(weakest_site(results)),
            "subgroup": weakest_json(weakest_subgroup(results)),
        },
        "recalibration": results.get("recalibration"),
        "decision_curve": results.get("decision_curve"),
        "contributions": results.get("contributions"),
        "privacy": dict(section(results, "privacy")) or None,
        "limits": limits(results),
        "provenance": provenance_json(results),
    }


def write_evidence(results: Mapping[str, Any], out: Path) -> None:
    """Write the evidence of `results`."""
    write_json(out, evidence_of(results))
