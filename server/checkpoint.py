"""A ServerState on disk: whole, or not there.

    FOLDER/current.json                        which folder counts, and the digests of its files
    FOLDER/round-000007-x1y2/                  state.json, tensors.safetensors
    FOLDER/records/000006-0123456789abcdef.json  the record of a round, by its digest, once it will not change

Each checkpoint is written beside the one before; the rename of `current.json` makes it count. So a process killed at
any moment leaves the old one or the new one. Records are written once: `state.json` names those that count.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any  # JSON values

from safetensors import SafetensorError
from safetensors.numpy import load_file

from common.errors import CheckpointError
from common.files import canonical_json, digest_file, sync, write_bytes, write_json
from common.privacy._accounting import Spending
from common.state import AdapterState, Array
from common.tensor_files import group_of, joined, save_safetensors
from server.packed_record import PackedRecord
from server.state import Best, Record, ServerState

FORMAT = 2
_READ = (1, 2)
"""The first had all records in `state.json`."""
_CURRENT = "current.json"
_STATE, _TENSORS, _RECORDS = "state.json", "tensors.safetensors", "records"


def write(folder: Path, state: ServerState) -> None:
    """Make `state` the checkpoint in `folder`, durably, and remove the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f"round-{state.round:06d}-", dir=folder))
    _write_records(folder / _RECORDS, state)
    write_bytes(place / _STATE, canonical_json(_to_json(state)))
    save_safetensors(place / _TENSORS, _tensors(state))
    sync(place / _TENSORS)
    digests = {name: digest_file(place / name) for name in (_STATE, _TENSORS)}
    write_json(folder / _CURRENT, {"format": FORMAT, "folder": place.name, "digests": digests})
    named = {_name(number, r) for number, r in enumerate(state.history, start=1) if isinstance(r, PackedRecord)}
    for record in (folder / _RECORDS).glob("*.json"):
        if record.name not in named:  # of a run that was killed before its state counted
            record.unlink(missing_ok=True)
    for other in folder.glob("round-*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)


def _write_records(folder: Path, state: ServerState) -> None:
    """Write the records that are not there yet."""
    for number, record in enumerate(state.history, start=1):
        if isinstance(record, PackedRecord) and not (path := folder / _name(number, record)).exists():
            folder.mkdir(exist_ok=True)
            write_bytes(path, record.text)


def _name(number: int, record: PackedRecord) -> str:
    return f"{number:06d}-{record.digest.removeprefix('sha256:')[:16]}.json"


def _record(folder: Path, content: Mapping[str, Any]) -> Record:
    """Return a record that `state.json` has, or names."""
    if "file" not in content:
        return content
    found = PackedRecord.read((folder / _RECORDS / Path(content["file"]).name).read_bytes())
    if found.digest != content["digest"]:
        raise _damaged(folder, content["file"])
    return found


def exists(folder: Path) -> bool:
    """Whether `folder` has a checkpoint."""
    return (folder / _CURRENT).is_file()


def read(folder: Path, *, study: str, seed: int) -> ServerState:
    """Return the checkpoint in `folder`.

    Raises:
        CheckpointError: there is none; it is damaged; it is of another study or seed.
    """
    if not exists(folder):
        raise CheckpointError(f"{folder} has no checkpoint to resume from; start the run anew")
    try:
        current = json.loads((folder / _CURRENT).read_bytes())
        if current["format"] not in _READ:
            raise CheckpointError(f"{folder}: checkpoint format {current['format']}, this version reads {FORMAT}")
        files = {name: _checked(folder, current, name) for name in (_STATE, _TENSORS)}
        content = json.loads(files[_STATE].read_bytes())
        records = [_record(folder, each) for each in content["history"]]
        state = _from_json(content, load_file(files[_TENSORS]), records)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder}: the checkpoint is damaged ({type(error).__name__}); "
            "restore it from a copy, or start again in another folder"
        ) from None
    _check_same(folder, state, study=study, seed=seed)
    return state


def _checked(folder: Path, current: Mapping[str, Any], name: str) -> Path:
    path = folder / Path(current["folder"]).name / name
    if digest_file(path) != current["digests"][name]:
        raise _damaged(folder, name)
    return path


def _damaged(folder: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{folder}: {name} of the checkpoint is not what was written (its digest differs, is it truncated?); "
        "restore it from a copy, or start again in another folder"
    )


def _check_same(folder: Path, state: ServerState, *, study: str, seed: int) -> None:
    if state.study != study:
        raise CheckpointError(
            f"{folder} holds a run of study {state.study}, this is {study}; give another folder, or the study as it was"
        )
    if state.seed != seed:
        raise CheckpointError(
            f"{folder} holds a run with seed {state.seed}, this is {seed}; give another folder, or that seed"
        )


def _tensors(state: ServerState) -> dict[str, Array]:
    best = state.best.shared if state.best else {}
    return joined({"shared": state.shared, "memory": state.memory, "best": best})


def _to_json(state: ServerState) -> dict[str, Any]:
    best = None
    if state.best is not None:
        kept = state.best
        best = {"round": kept.round, "metric": kept.metric, "value": kept.value, "sites": list(kept.sites)}
    return {
        "run": state.run,
        "study": state.study,
        "seed": state.seed,
        "round": state.round,
        "examples": dict(state.examples),
        "initial": state.initial,
        "history": [_named(number, record) for number, record in enumerate(state.history, start=1)],
        "best": best,
        "spent": [asdict(each) for each in state.spent],
    }


def _named(number: int, record: Record) -> Record:
    if isinstance(record, PackedRecord):
        return {"file": _name(number, record), "digest": record.digest}
    return record


def _from_json(content: Mapping[str, Any], tensors: AdapterState, records: Sequence[Record]) -> ServerState:
    best = None if content["best"] is None else _best(content["best"], group_of(tensors, "best"))
    return ServerState(
        run=content["run"],
        study=content["study"],
        seed=content["seed"],
        shared=group_of(tensors, "shared"),
        round=content["round"],
        memory=group_of(tensors, "memory"),
        examples=content["examples"],
        initial=content["initial"],
        history=tuple(records),
        best=best,
        spent=tuple(Spending(**each) for each in content.get("spent", ())),  # absent before there was a ledger
    )


def _best(content: Mapping[str, Any], shared: AdapterState) -> Best:
    return Best(
        round=content["round"],
        metric=content["metric"],
        value=content["value"],
        sites=tuple(content["sites"]),
        shared=shared,
    )
