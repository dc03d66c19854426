"""From a finished run, or a registered version, to the study of a further phase on new rows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any  # results are JSON

import safetensors
import safetensors.numpy
from pydantic import ValidationError

from client import private_tensors
from common.adapter_folder import read_adapter
from common.adapter_reference import adapter_folder
from common.carried import split_carried
from common.errors import BundleError, StudyError, UserError
from common.state import AdapterState
from common.study import Study
from common.study_file import with_overrides
from common.study_simulation import KnownRowsSection
from server.outcome_json import check_format
from simulations.catalogue import BUILTIN, simulation_of
from simulations.continuing.earlier import Beginning, Earlier
from simulations.continuing.wish import Wish

KEPT = (
    ("base_model", "digest"),
    ("peft",),
    ("task",),
    ("data",),
    ("evaluation", "split_seed"),
    ("evaluation", "validation_fraction"),
    ("evaluation", "test_fraction"),
)
"""Keys that no phase changes: the adapter would not fit, or patients who tested a phase could train the next."""


def end_of(named: Path) -> Beginning:
    """Return what a phase that goes on from `named` begins with: an adapter's folder, its run's, or a version.

    Raises:
        UserError: there is no adapter with results beside it, or one that no phase can go on from.
    """
    folder = adapter_folder(named)
    exported, results = read_adapter(folder), _results(folder.parent)
    if split_carried(exported.shared)[1]:
        raise StudyError(
            f"{named}: its strategy ({exported.study.aggregation.name}) carries a change beside the adapter, which no "
            "study can begin with; go on from a run whose strategy carries none, such as fedavg or flexlora"
        )
    last = Study.model_validate(results["study"])
    before = ((results.get("continual") or {}).get("earlier") or {}).get("studies") or ()
    studies = (*(Study.model_validate(each) for each in before), last)
    private = _private_of(folder.parent / "sites", exported.schema.private.names)
    return Beginning(exported.shared, private, Earlier(studies, exported.digests))


def _results(folder: Path) -> Mapping[str, Any]:
    try:
        content = json.loads((folder / "results.json").read_bytes())
        Study.model_validate(content["study"])
    except (OSError, ValueError, TypeError, LookupError, ValidationError):
        raise UserError(
            f"{folder} has no results.json of a finished run, which says what the study was; "
            "name the folder of a run, or a registered version"
        ) from None
    check_format(content)
    found: Mapping[str, Any] = content
    return found


def _private_of(sites: Path, names: Sequence[str]) -> dict[str, AdapterState]:
    if not names:
        return {}
    found = {path.parent.name: path for path in sorted(sites.glob(f"*/{private_tensors.FILE}"))}
    if not found:
        raise BundleError(
            f"the study keeps {len(names)} tensors at each site, and {sites} has none of them; "
            "go on from the run's own folder"
        )
    try:
        return {site: safetensors.numpy.load(path.read_bytes()) for site, path in found.items()}
    except (OSError, safetensors.SafetensorError) as error:
        raise BundleError(f"private tensors under {sites} cannot be read ({type(error).__name__})") from None


def next_study(earlier: Earlier, wish: Wish) -> Study:
    """Return the study of the phase after `earlier`. Raises StudyError where it changes what no phase may change."""
    last = earlier.studies[-1]
    content = last.model_dump(mode="json")
    content["federation"]["sites"] = []
    content["training"]["regulariser"] = wish.regulariser and dict(wish.regulariser)
    if last.simulation is not None:
        content["simulation"] |= _rows(earlier, wish)
    study = with_overrides(content, wish.overrides, where="the further phase")
    changed = [".".join(path) for path in KEPT if _at(study, path) != _at(last, path)]
    if changed:
        raise StudyError(
            f"a further phase keeps {changed[0]} as it was: else the adapter would not fit, or patients who tested it "
            "could train it now; leave it out of --set, or begin a study of its own"
        )
    return study


def _rows(earlier: Earlier, wish: Wish) -> dict[str, object]:
    last = simulation_of(earlier.studies[-1])
    known = () if wish.replay else tuple(_known(study) for study in earlier.studies if has_rows(study))
    return {
        "data": last.data if wish.rows is None else _told(wish.rows),
        "without": [each.model_dump(mode="json") for each in dict.fromkeys(known)],
    }


def _told(rows: Path) -> str:
    return str(rows) if str(rows).startswith(BUILTIN) else str(rows.expanduser().resolve())


def has_rows(study: Study) -> bool:
    """Whether the rows of a study are still where it had them."""
    data = simulation_of(study).data
    return data.startswith(BUILTIN) or Path(data).is_file()


def _known(study: Study) -> KnownRowsSection:
    simulation = simulation_of(study)
    sites = study.federation.sites if simulation.site_column is not None else ()
    return KnownRowsSection(data=simulation.data, sites=sites)


def _at(study: Study, path: Sequence[str]) -> Any:
    place: Any = study.model_dump(mode="json")
    for key in path:
        place = place[key]
    return place
