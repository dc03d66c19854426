"""What must be the same for a run to be resumed: study, options, rows and base model. Else its bytes would differ."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any  # a study as JSON

from common.base_files import check_digest
from common.bundle import read_bundle
from common.errors import CheckpointError
from common.files import digest_file
from common.study import Study
from simulations.catalogue import base_folder, rows_path
from simulations.engine.plan import Wanted
from simulations.folder import RunFolder

LOCKED: Mapping[str, Any] = {"base_model.digest": None, "federation.sites": []}
"""Keys that preparing a study fills in where it leaves them open."""
_OPTIONS = {"workers": "--workers", "clients": "--group-size"}


def check_same_study(study: Study, folder: RunFolder) -> None:
    """Raise CheckpointError unless the run in `folder` was started from `study` and its bundle is whole."""
    facts, bundle = folder.facts(), read_bundle(folder.bundle)
    if bundle.digest != facts.bundle:
        raise CheckpointError(f"{folder.path}: the bundle is not the one that the run was started with")
    changed = differences(bundle.study, study)
    if changed or facts.study_file != study.digest:
        raise CheckpointError(
            f"{folder.path} holds a run of another study, or of this one with other settings "
            f"({', '.join(changed[:5]) or 'its digest differs'}); give the study and the options with which it was "
            "started, or choose another --out"
        )


def check_same_execution(folder: RunFolder, *, threads: int, device: str, groups: Wanted) -> None:
    """Raise CheckpointError unless the run computes with so many threads on this device."""
    begun = folder.facts().execution
    if threads != begun.threads or device not in ("auto", begun.device):
        raise CheckpointError(
            f"{folder.path} holds a run with --threads {begun.threads} --device {begun.device}, which fix its bytes; "
            f"this is --threads {threads} --device {device}: give the same, or choose another --out"
        )
    before, asked = asdict(folder.facts().groups), asdict(groups)
    for name, option in _OPTIONS.items():
        if asked[name] not in (None, before[name]):
            given = f"with {option} {before[name]}, which fixes" if before[name] else f"without {option}, which fixes"
            raise CheckpointError(
                f"{folder.path} holds a run {given} its bytes; this is {option} {asked[name]}: leave it out, as a run "
                "goes on as it was begun, or choose another --out"
            )


def check_same_files(study: Study, folder: RunFolder) -> None:
    """Raise UserError unless the rows and the base model are those that the run was started with."""
    if digest_file(rows_path(study, folder.scratch)) != folder.facts().rows:
        raise CheckpointError(
            f"{folder.path} holds a run over other rows: the data file was changed since; "
            "restore it, or start again in another folder"
        )
    check_digest(base_folder(study, folder.scratch), read_bundle(folder.bundle).study.base_model.digest)


def differences(prepared: Study, study: Study) -> list[str]:
    """Return the dotted keys in which two studies differ, those aside that preparing fills in."""
    begun, given = dict(_flat(prepared.model_dump(mode="json"))), dict(_flat(study.model_dump(mode="json")))
    keys = [key for key in {**begun, **given} if begun.get(key) != given.get(key)]
    return [key for key in keys if key not in LOCKED or given.get(key) != LOCKED[key]]


def _flat(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
