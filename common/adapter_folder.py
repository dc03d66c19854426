"""The exported adapter: shared tensors, a PEFT directory where PEFT knows the method, the head, and a model card.

adapter.safetensors          the shared tensors by canonical name, and what is carried; `fedpeft predict` reads this
fedpeft.json                 study, schema, and digests
adapter_model.safetensors    the same numbers under PEFT's names, with adapter_config.json: PeftModel.from_pretrained;
                             what is carried beside a pair makes its rank larger (`common.carried_export`)
head.safetensors             the task's head, where it is shared
task.json                    labels and how to pool
README.md                    the model card
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # JSON values

import safetensors
import safetensors.numpy

from common import plugins
from common.bundle import Bundle
from common.carried import carried_digest, check_adapter
from common.carried_export import joined_config, joined_pairs
from common.errors import BundleError, SchemaError
from common.files import write_bytes, write_json
from common.peft_methods import RewritesForPeft
from common.state import HEAD, AdapterSchema, AdapterState, digest_state
from common.study import Study
from common.tensor_files import to_safetensors
from common.usage import usage_of

TENSORS = "adapter.safetensors"
FACTS = "fedpeft.json"


def write_adapter(folder: Path, bundle: Bundle, shared: AdapterState, *, card: str) -> str:
    """Write the adapter directory and return the digest of the shared tensors."""
    check_adapter(shared, bundle.schema.shared)
    digest, carried = digest_state(shared), carried_digest(shared)
    write_bytes(folder / TENSORS, to_safetensors(shared))
    write_json(folder / FACTS, {
        "format": 1,
        "study": _without_places(bundle.study).model_dump(mode="json"),
        "schema": bundle.schema.to_json(),
        "digests": {
            "adapter": digest,
            "base_model": bundle.study.base_model.digest,
            "bundle": bundle.digest,
            **({"carried": carried} if carried else {}),
        },
    })  # fmt: skip
    write_json(folder / "task.json", task_json(bundle.study))
    head = {name: array for name, array in shared.items() if name.startswith(HEAD)}
    if head:
        write_bytes(folder / "head.safetensors", to_safetensors(head))
    if is_peft_directory(bundle):
        _write_peft(folder, bundle, shared)
    write_bytes(folder / "README.md", card.encode())
    return digest


def _without_places(study: Study) -> Study:
    """An adapter is handed on: it says nothing of where this machine keeps rows and models."""
    source = study.base_model.source
    if source.startswith("dir:"):
        source = f"dir:{Path(source.removeprefix('dir:')).name}"
    return study.model_copy(
        update={"simulation": None, "base_model": study.base_model.model_copy(update={"source": source})}
    )


def is_peft_directory(bundle: Bundle) -> bool:
    """Whether the shared tensors, renamed, are a whole PEFT adapter."""
    names = bundle.peft_names
    return bundle.adapter_config is not None and names is not None and set(names) <= set(bundle.schema.shared.names)


def _write_peft(folder: Path, bundle: Bundle, shared: AdapterState) -> None:
    names = bundle.peft_names or {}
    tensors = _for_peft(bundle.study, joined_pairs(shared))
    renamed = {peft: tensors[name] for name, peft in names.items() if name in tensors}
    write_bytes(folder / "adapter_model.safetensors", to_safetensors(renamed))
    write_json(folder / "adapter_config.json", joined_config(bundle.adapter_config or {}, shared))


def _for_peft(study: Study, shared: AdapterState) -> AdapterState:
    method = plugins.build("common.peft_methods", study.peft.method, study.peft.options, key="peft.method")
    return method.for_peft(shared) if isinstance(method, RewritesForPeft) else shared


def task_json(study: Study) -> dict[str, Any]:
    """Return what `task.json` says of the study's task."""
    return {
        "kind": study.task.kind,
        "target": study.task.target,
        "labels": list(study.task.labels),
        "options": dict(study.task.model_extra or {}),
        "max_length": study.task.max_length,
        "pooling": usage_of(study.task.kind).pooling,
    }


@dataclass(frozen=True)
class Exported:
    """An exported adapter as read back."""

    study: Study
    schema: AdapterSchema
    shared: AdapterState
    digests: Mapping[str, str]


def read_adapter(folder: Path) -> Exported:
    """Read an adapter directory; a missing or changed file is a BundleError."""
    for name in (FACTS, TENSORS):
        if not (folder / name).is_file():  # a pipe would be read for ever
            raise BundleError(f"{folder} is not an adapter of fedpeft: it lacks {name}")
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        shared = safetensors.numpy.load_file(folder / TENSORS)
        study, schema = Study.model_validate(facts["study"]), AdapterSchema.from_json(facts["schema"])
        digests = {name: str(digest) for name, digest in facts["digests"].items()}
        check_adapter(shared, schema.shared)
        changed = digest_state(shared) != digests["adapter"]
    except OSError as error:
        missing = Path(error.filename or FACTS).name
        raise BundleError(f"{folder} is not an adapter of fedpeft: it lacks {missing}") from None
    except (ValueError, LookupError, TypeError, AttributeError, SchemaError, safetensors.SafetensorError) as error:
        raise BundleError(f"the adapter in {folder} is damaged ({type(error).__name__}); export it again") from None
    if changed:
        raise BundleError(f"the adapter in {folder} does not have the digest that {FACTS} states; it was changed")
    return Exported(study, schema, shared, digests)
