"""A prepared study on disk: what server, sites and every runtime read. Nobody re-creates the initial adapter.

bundle.json            format, digests of the other files, versions that made it
study.json             the locked study
schema.json            the adapter's tensors
initial.safetensors    their values before round 1
adapter_config.json    PEFT's configuration, where PEFT knows the method
names.json             {canonical name: PEFT's name}, likewise
base_model.json        the base model's manifest and counts of parameters
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any  # PEFT's configuration is JSON

import safetensors
import safetensors.numpy
from pydantic import ConfigDict, TypeAdapter, ValidationError

from common.errors import BundleError, SchemaError
from common.files import digest_bytes, digest_json, write_bytes, write_json
from common.state import AdapterSchema, AdapterState
from common.study import Study
from common.tensor_files import to_safetensors

FORMAT = 1
MAX_TEXT_BYTES = 16 * 2**20
"""Of a file of JSON: a schema of ten thousand tensors has some megabytes."""
MAX_TENSOR_BYTES = 512 * 2**20
"""Of the first adapter: what a message can carry."""
FILES = ("study.json", "schema.json", "initial.safetensors", "adapter_config.json", "names.json", "base_model.json")


_TABLE: TypeAdapter[dict[str, Any] | None] = TypeAdapter(dict[str, Any] | None)
_NAMES: TypeAdapter[dict[str, str] | None] = TypeAdapter(dict[str, str] | None)


@dataclass(frozen=True)
class BaseModelFacts:
    """What the bundle knows of the base model: its manifest and sizes."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    files: Mapping[str, str]
    parameters: int
    size_bytes: int


@dataclass(frozen=True)
class Bundle:
    """A prepared study in memory."""

    study: Study
    schema: AdapterSchema
    initial: AdapterState
    base_model: BaseModelFacts
    adapter_config: Mapping[str, Any] | None
    peft_names: Mapping[str, str] | None
    digest: str

    @cached_property
    def study_digest(self) -> str:
        """The study's digest, made once: each message is held to it, and a roster may name ten thousand sites."""
        return self.study.digest


def write_bundle(
    folder: Path,
    *,
    study: Study,
    schema: AdapterSchema,
    initial: AdapterState,
    base_model: BaseModelFacts,
    adapter_config: Mapping[str, Any] | None,
    peft_names: Mapping[str, str] | None,
) -> Bundle:
    """Write a bundle to `folder`, `bundle.json` last, and return it as read back."""
    write_json(folder / "study.json", study.model_dump(mode="json"))
    write_json(folder / "schema.json", schema.to_json())
    write_bytes(folder / "initial.safetensors", to_safetensors(initial))
    write_json(folder / "adapter_config.json", adapter_config)
    write_json(folder / "names.json", peft_names)
    write_json(folder / "base_model.json", vars(base_model))
    digests = {name: digest_bytes((folder / name).read_bytes()) for name in FILES}
    content = {"format": FORMAT, "study": study.digest, "schema": schema.digest, "files": digests}
    write_json(folder / "bundle.json", content)
    return read_bundle(folder)


def read_bundle(folder: Path) -> Bundle:
    """Read and check a bundle; a missing, changed or foreign file is a BundleError that names it."""
    if not folder.is_dir():
        raise BundleError(f"no bundle at {folder}; `fedpeft study prepare STUDY --out {folder}` makes one")
    digests = _checked_digests(folder)
    try:
        return _assemble(folder, digests)
    except (ValidationError, SchemaError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"bundle {folder} holds something unexpected ({type(error).__name__}); prepare it again"
        ) from None


def _checked_digests(folder: Path) -> dict[str, str]:
    head = _json(folder, "bundle.json")
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        found = head.get("format") if isinstance(head, dict) else None
        raise BundleError(f"bundle {folder} has format {found!r}, this fedpeft reads {FORMAT}; prepare it again")
    files = head.get("files")
    if not isinstance(files, dict) or set(files) != set(FILES) or not {"study", "schema"} <= set(head):
        raise BundleError(f"bundle {folder}: bundle.json does not list exactly {', '.join(FILES)}, study and schema")
    for name, expected in files.items():
        found = digest_bytes(content_of(folder, name))
        if found != expected:
            raise BundleError(
                f"bundle {folder}: {name} has digest {found}, bundle.json says {expected}; it was changed"
            )
    return {**files, "study": head["study"], "schema": head["schema"]}


def _assemble(folder: Path, digests: Mapping[str, str]) -> Bundle:
    study = Study.model_validate(_json(folder, "study.json"))
    schema = AdapterSchema.from_json(_json(folder, "schema.json"))
    if (study.digest, schema.digest) != (digests["study"], digests["schema"]):
        raise BundleError(f"bundle {folder} was made by another version of fedpeft; prepare it again")
    initial = safetensors.numpy.load(content_of(folder, "initial.safetensors"))
    schema.check(initial)
    return Bundle(
        study=study,
        schema=schema,
        initial={name: initial[name] for name in schema.names},
        base_model=TypeAdapter(BaseModelFacts).validate_json(content_of(folder, "base_model.json")),
        adapter_config=_TABLE.validate_json(content_of(folder, "adapter_config.json"), strict=True),
        peft_names=_NAMES.validate_json(content_of(folder, "names.json"), strict=True),
        digest=_digest(digests),
    )


def _digest(digests: Mapping[str, str]) -> str:
    """The study's own digest stands for study.json, which also says where this machine finds base model and rows."""
    return digest_json({name: digest for name, digest in digests.items() if name != "study.json"})


def content_of(folder: Path, name: str) -> bytes:
    """Return a file's content. A bundle comes from another machine: no pipe or device in it is waited for."""
    limit = MAX_TENSOR_BYTES if name.endswith(".safetensors") else MAX_TEXT_BYTES
    try:
        with os.fdopen(os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_size <= limit:
                return file.read(limit)
    except OSError:
        raise BundleError(f"bundle {folder} lacks {name}; prepare it again") from None
    raise BundleError(f"bundle {folder}: {name} is no file of at most {limit} bytes; ask for the bundle again")


def _json(folder: Path, name: str) -> Any:
    try:
        return json.loads(content_of(folder, name))
    except (ValueError, RecursionError):
        raise BundleError(f"bundle {folder}: {name} is not JSON; prepare it again") from None
