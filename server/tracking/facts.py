"""What a tracker is told of a run before its figures: from the run's folder, and nothing that names a place in it."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final  # JSON values

from common.bundle import read_bundle
from common.study import Study
from server.events import RunStarted
from server.following import EventReader
from server.run_folder import RunFolder
from server.trackers import Batch, Facts, Finished
from server.tracking.points import results_points

_OF_ONE_MACHINE: Final = "simulation"
"""The study's section that may hold paths of the machine that simulates."""


def facts_of(run: Path) -> Facts | None:
    """Return the facts of the run in a folder, None where it has not begun. Raises BundleError."""
    first = next(((t, e) for t, e in EventReader(RunFolder(run)).timed() if isinstance(e, RunStarted)), None)
    if first is None:
        return None
    time, started = first
    bundle = read_bundle(run / "bundle")
    study = bundle.study
    digests = {
        "study": study.digest,
        "schema": bundle.schema.digest,
        "base_model": study.base_model.digest or "",
        "bundle": bundle.digest,
    }
    return Facts(
        run=started.run,
        study=study.name,
        parameters=parameters(study),
        tags={
            **{f"fedpeft.digest.{name}": value for name, value in digests.items()},
            "fedpeft.version": version("fedpeft"),
            "fedpeft.description": study.description,
        },
        sites=started.sites,
        began_ms=milliseconds(time),
    )


def parameters(study: Study) -> dict[str, str]:
    """Return the study's keys, flat and as text; what is absent is left out."""
    content = study.model_dump(mode="json")
    source = study.base_model.source
    if source.startswith("dir:"):  # a folder of this machine
        content["base_model"]["source"] = f"dir:{Path(source.removeprefix('dir:')).name}"
    return dict(_flat({key: value for key, value in content.items() if key != _OF_ONE_MACHINE}, ""))


def _flat(content: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        elif isinstance(value, str):
            yield before + key, value
        elif value is not None:
            yield before + key, json.dumps(value, ensure_ascii=False)


def milliseconds(time: str) -> int:
    """Return milliseconds since 1970 of an ISO time with its zone.

    >>> milliseconds("1970-01-01T00:00:01.500+00:00")
    1500
    """
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def finished(run: Path, *, number: int, time_ms: int) -> Finished | None:
    """Return what the run in a folder has left, None where it is not complete.

    number, time_ms: of the last batch.

    Raises:
        ValueError: results.json is damaged.
    """
    results = RunFolder(run).results
    if not results.exists():
        return None
    points = tuple(results_points(json.loads(results.read_bytes())))
    files = [path for path in (results, run / "report.html") if path.exists()]
    return Finished(Batch(number + 1, time_ms, points), run / "adapter", files)
