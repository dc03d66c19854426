"""The base model with the adapter in its weights, and the folder that it is written to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any  # transformers' models are untyped

from client.export._folder import copy_reader
from client.opening import Opened
from client.whole_model import WholeModel, write_facts
from common.adapter_folder import task_json
from common.errors import StudyError, UserError
from common.files import write_bytes, write_json
from common.peft_methods import Merges
from common.state import HEAD
from common.tensor_files import to_safetensors
from common.workbench import Workbench

if TYPE_CHECKING:
    from torch import Tensor

INSTEAD = (
    "use --format peft where it is offered, int8 or onnx, or the adapter as it is (fedpeft predict, fedpeft serve)"
)


def merged_base(opened: Opened) -> Any:
    """Return a plain base model that computes what the opened one does; the opened one is of no use afterwards.

    Raises:
        UserError: what the method trained is no change of the base model's weights.
    """
    bench = opened.bench
    if not isinstance(bench.method, Merges):
        raise UserError(
            f"peft.method = {opened.study.peft.method!r} trains what stands beside the base model's weights, so it "
            f"cannot be merged into them; {INSTEAD}"
        )
    changes = bench.carried.weight_changes(bench.model, bench.parameters)
    try:
        base: Any = bench.method.merge(bench.model)
    except StudyError as error:
        raise UserError(f"peft.method = {opened.study.peft.method!r}: {error}; {INSTEAD}") from None
    _add(base, changes)
    return base.requires_grad_(False).eval()


def _add(base: Any, changes: Mapping[str, Tensor]) -> None:
    import torch

    with torch.no_grad():
        for name, change in changes.items():
            base.get_submodule(name).weight.add_(change)


def is_mergeable(bench: Workbench) -> bool:
    """Whether `merged_base` has something to return, as far as the method alone says."""
    return isinstance(bench.method, Merges)


def write_base(base: Any, folder: Path) -> None:
    """Write the weights, one safetensors file, and config.json."""
    base.save_pretrained(folder, max_shard_size="1000GB")
    (folder / "generation_config.json").unlink(missing_ok=True)


def write_rest(folder: Path, opened: Opened, place_base: Path, *, kind: str, merged: bool, readme: str) -> None:
    """Write what is not the base model's weights: reader, head or all that was trained, task, README, facts."""
    copy_reader(place_base, folder)
    state = opened.bench.read()
    kept = {name: array for name, array in state.items() if name.startswith(HEAD)} if merged else state
    whole = WholeModel(kind, opened.study, merged, opened.digests)
    if kept:
        write_bytes(folder / whole.trained_file, to_safetensors(kept))
    write_json(folder / "task.json", task_json(opened.study))
    write_bytes(folder / "README.md", readme.encode())
    write_facts(folder, whole)
