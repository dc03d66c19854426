"""A model ready to answer: an exported adapter on its base model, or a model that was exported whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any  # safetensors' loaders are untyped

import safetensors
import safetensors.numpy

from client.execution import Execution, resolve
from client.whole_model import WEIGHTS, is_whole_model, read_whole_model
from common import models
from common.adapter_folder import Exported, read_adapter
from common.adapter_reference import adapter_folder, base_folder
from common.base_files import check_digest
from common.errors import BundleError, SchemaError, UserError
from common.state import AdapterState
from common.study import Study
from common.workbench import Workbench, open_workbench

if TYPE_CHECKING:
    from torch import nn

PRIVATE = "private.safetensors"


@dataclass(frozen=True)
class Place:
    """Where an adapter and its base model are; of a model that was exported whole, both are its folder."""

    folder: Path
    base: Path


@dataclass(frozen=True)
class Opened:
    """A model with what it is of."""

    study: Study
    bench: Workbench
    execution: Execution
    digests: Mapping[str, str]


def place_of(named: Path, base_model: Path | None = None) -> Place:
    """Return the place that a user names: an adapter or a run (`common.adapter_reference`), or a whole model.

    Raises:
        UserError: neither is there, or the base model is not.
    """
    if not is_whole_model(named):
        folder = adapter_folder(named)
        return Place(folder, base_folder(folder, base_model))
    if base_model is not None:
        raise UserError(f"--base-model: {named} was exported whole and has its base model's weights; leave it out")
    return Place(named, named)


def open_model(
    place: Place, *, private: Path | None = None, device: str = "cpu", threads: int = 1, precision: str | None = None
) -> Opened:
    """Load it, ready to answer; the base model's digest must be the study's.

    private: the folder with a site's own `private.safetensors`, needed where the study has private groups.
    precision: another one than the study's.
    """
    if is_whole_model(place.folder):
        return _open_whole(place.folder, private, device, threads, precision)
    exported = read_adapter(place.folder)
    opened = open_without_private(place, exported, device=device, threads=threads, precision=precision)
    opened.bench.write({**exported.shared, **private_tensors(exported, private)})
    return opened


def open_without_private(
    place: Place, exported: Exported, *, device: str, threads: int, precision: str | None = None
) -> Opened:
    """Load base model and method; no tensor of the adapter is written yet."""
    study = exported.study
    check_digest(place.base, study.base_model.digest)
    execution = resolve(precision=precision or study.training.precision, device=device, threads=threads)
    bench = open_workbench(study, place.base, attention=execution.attention).to(execution.device)
    return Opened(study, bench, execution, exported.digests)


def private_tensors(exported: Exported, folder: Path | None) -> AdapterState:
    """Return a site's own tensors. Raises BundleError: none are given, not needed, or of another study."""
    schema = exported.schema.private
    if not schema.tensors and folder is not None:
        raise BundleError("--private: no tensor of this study is a site's own (peft.private); leave it out")
    if not schema.tensors:
        return {}
    if folder is None:
        raise BundleError(
            f"this study keeps {len(schema.tensors)} tensors at each site (peft.private); "
            f"name the folder with a site's own with --private, the one that holds {PRIVATE}"
        )
    try:
        state = safetensors.numpy.load_file(folder / PRIVATE)
        schema.check(state)
    except FileNotFoundError:
        raise BundleError(f"--private {folder}: there is no {PRIVATE} in it") from None
    except (safetensors.SafetensorError, SchemaError) as error:
        raise BundleError(f"--private {folder}: {PRIVATE} does not fit the study: {error}") from None
    return dict(state)


def _open_whole(folder: Path, private: Path | None, device: str, threads: int, precision: str | None) -> Opened:
    if private is not None:
        raise UserError(f"--private: {folder} was exported whole, with what is a site's own in it; leave it out")
    whole = read_whole_model(folder)
    execution = resolve(precision=precision or whole.study.training.precision, device=device, threads=threads)
    kept: dict[int, Any] = {}
    bench = open_workbench(
        whole.study_to_open,
        folder,
        attention=execution.attention,
        to_train=False,
        load=models.load_base if whole.format != "int8" else _Int8Loader(kept),
    )
    if (folder / whole.trained_file).is_file():  # a decoder with a merged adapter has no other tensor
        bench.write(safetensors.numpy.load_file(folder / whole.trained_file))
    if kept:
        from client.int8_weights import install

        install(bench.model, kept)
    return Opened(whole.study, bench.to(execution.device), execution, whole.digests)


@dataclass(frozen=True)
class _Int8Loader:
    """Loads a base model from weights in 8 bits, which it notes in `kept` by the ids of what they stand for.

    Methods look for torch's own layers when they are attached, so the weights are whole numbers times scales again
    until then: the base model is in memory in float32 for that moment.
    """

    kept: dict[int, Any]

    def __call__(self, folder: Path, **options: Any) -> nn.Module:
        from safetensors.torch import load_file

        from client.int8_weights import dequantise, split_state

        short, others = split_state(load_file(folder / WEIGHTS))
        weights = {**others, **{name: dequantise(*pair) for name, pair in short.items()}}
        base = models.base_of_weights(folder, weights, **options)
        found = dict(base.named_parameters())
        self.kept.update({id(found[name]): pair for name, pair in short.items() if name in found})
        return base
