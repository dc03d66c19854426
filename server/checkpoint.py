"""A ServerState on disk: whole, or not there.

    FOLDER/current.json        which folder counts, and the digests of its files
    FOLDER/round-000007-x1y2/  state.json, tensors.safetensors

Each checkpoint is written beside the one before; the rename of `current.json` makes it count. So a process killed at
any moment leaves the old one or the new one.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
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
from server.state import Best, ServerState

FORMAT = 1
_CURRENT = "current.json"
_STATE, _TENSORS = "state.json", "tensors.safetensors"


def write(folder: Path, state: ServerState) -> None:
    """Make `state` the checkpoint in `folder`, durably, and remove the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f"round-{state.round:06d}-", dir=folder))
    write_bytes(place / _STATE, canonical_json(_to_json(state)))
    save_safetensors(place / _TENSORS, _tensors(state))
    sync(place / _TENSORS)
    digests = {name: digest_file(place / name) for name in (_STATE, _TENSORS)}
    write_json(folder / _CURRENT, {"format": FORMAT, "folder": place.name, "digests": digests})
    for other in folder.glob("round-*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)


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
        if current["format"] != FORMAT:
            raise CheckpointError(f"{folder}: checkpoint format {current['format']}, this version reads {FORMAT}")
        files = {name: _checked(folder, current, name) for name in (_STATE, _TENSORS)}
        state = _from_json(json.loads(files[_STATE].read_bytes()), load_file(files[_TENSORS]))
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
        raise CheckpointError(
            f"{folder}: {name} of the checkpoint is not what was written (its digest differs, is it truncated?); "
            "restore it from a copy, or start again in another folder"
        )
    return path


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
        "history": list(state.history),
        "best": best,
        "spent": [asdict(each) for each in state.spent],
    }


def _from_json(content: Mapping[str, Any], tensors: AdapterState) -> ServerState:
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
        history=tuple(content["history"]),
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
