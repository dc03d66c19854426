"""From what a run says of itself to the entry of a version. No file is read here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any  # JSON values

from common.adapter_folder import Exported
from common.errors import SchemaError, UserError
from common.machine import versions as versions_here
from common.metrics.types import Metric
from common.registry.versions import Digests, Leading, Measured, Plain, Receipts, Rounds, Version


@dataclass(frozen=True)
class Found:
    """What lies in a run's folder: its adapter, the content of its results.json (None: it has none), its receipts."""

    exported: Exported
    results: Mapping[str, Any] | None
    run: str | None
    receipts: Receipts | None


def continued_from(found: Found) -> str | None:
    """Return the digest of the adapter that the run, as a further phase, began with; None where it was a first one."""
    place: object = found.results or {}
    for key in ("continual", "earlier", "digests", "adapter"):
        place = place.get(key) if isinstance(place, Mapping) else None
    return place if isinstance(place, str) else None


def entry(
    found: Found, *, number: int, name: str, parent: int | None, created: str, files: Mapping[str, str]
) -> Version:
    """Return the version that a run's adapter becomes.

    Raises:
        UserError: its results.json is not of this adapter, or is damaged.
    """
    try:
        return Version(
            number=number,
            name=name,
            study=found.exported.study.name,
            digests=digests_of(found.exported, found.results),
            run=found.run,
            seed=found.exported.study.seed if found.results is None else found.results["seed"],
            parent=parent,
            created=created,
            rounds=None if found.results is None else _rounds(found.results),
            metrics=None if found.results is None else _measured(found.results),
            receipts=found.receipts,
            privacy=None if found.results is None else _privacy(found.results["privacy"]),
            versions=versions_here() if found.results is None else dict(found.results["versions"]),
            files=files,
        )
    except (LookupError, TypeError, AttributeError, SchemaError) as error:
        raise UserError(f"results.json of the run is damaged ({type(error).__name__}); run it again") from None


def digests_of(exported: Exported, results: Mapping[str, Any] | None) -> Digests:
    """Return the digests of an adapter; where there are results they must be of it."""
    said = exported.digests
    if results is not None and results["digests"]["adapter"] != said["adapter"]:
        raise UserError(
            f"the adapter has digest {said['adapter']}, results.json beside it says {results['digests']['adapter']}; "
            "expected the adapter of this run: name the folder that the run itself wrote"
        )
    return Digests(
        study=exported.study.digest if results is None else results["digests"]["study"],
        bundle=said["bundle"],
        schema=exported.schema.digest,
        base_model=said["base_model"],
        adapter=said["adapter"],
        carried=said.get("carried"),
    )


def _rounds(results: Mapping[str, Any]) -> Rounds:
    return Rounds(played=len(results["rounds"]), kept=results["kept_round"])


def _measured(results: Mapping[str, Any]) -> Measured:
    leading = results["metrics"][0]
    compared = (results["comparison"] or {}).get("federated") or {}
    return Measured(
        Leading(leading["name"], leading["label"], leading["higher_is_better"]),
        pooled=_metrics(compared.get("pooled")),
        mean=_metrics(compared.get("mean")),
        validation=_metrics(_kept_validation(results)),
    )


def _kept_validation(results: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the pooled validation metrics of the round that was kept; round 0 is the initial adapter."""
    kept = [each["validation"] for each in results["rounds"] if each["round"] == results["kept_round"]]
    chosen = kept[0] if kept else (results["initial"] or {}).get("validation")
    return None if chosen is None else chosen["pooled"]


def _metrics(found: Mapping[str, Any] | None) -> dict[str, Metric]:
    return {name: Metric.from_json(metric) for name, metric in (found or {}).items()}


def _privacy(found: Mapping[str, Any] | None) -> dict[str, Plain] | None:
    """Keep the plain figures; lists, such as what each site spent, stay in results.json."""
    if found is None:
        return None
    return {name: value for name, value in found.items() if value is None or isinstance(value, str | int | float)}
