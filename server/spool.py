"""Accepted replies on disk until their round closes, so that memory does not grow with the number of sites.

    FOLDER/round-000003/site-a.safetensors    update/DTYPE (packed), extra/NAME; example count and weight as metadata

A spool is scratch: a run that resumes asks again, and the sites answer with the same bytes. So it is written without
the care that a checkpoint needs.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from safetensors import safe_open

from common.state import AdapterSchema
from common.tensor_files import group_of, joined, save_safetensors
from server.aggregation import ClientUpdate


def put(folder: Path, round_number: int, update: ClientUpdate, schema: AdapterSchema) -> None:
    """Write one update, whose tensors are those of `schema`; a second of the same site takes the place of the first."""
    tensors = joined({"update": schema.pack(update.update), "extra": update.extra})
    metadata = {"examples": str(update.examples), "weight": repr(update.weight)}
    path = _file(folder, round_number, update.site)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_safetensors(path, tensors, metadata=metadata)


def updates(folder: Path, round_number: int, schemas: Mapping[str, AdapterSchema]) -> Iterator[ClientUpdate]:
    """Read the updates of the sites in `schemas` one at a time, in the order of site names."""
    for site in sorted(schemas):
        yield _read(_file(folder, round_number, site), site, schemas[site])


def parts(
    folder: Path, round_number: int, schemas: Mapping[str, AdapterSchema], names: Iterable[str]
) -> Iterator[ClientUpdate]:
    """Read these tensors of each update, those that it has, and nothing else of it; as `updates` does."""
    wanted = frozenset(names)
    for site in sorted(schemas):
        yield _read_part(_file(folder, round_number, site), site, schemas[site], wanted)


def drop(folder: Path) -> None:
    """Remove the spool of all rounds."""
    shutil.rmtree(folder, ignore_errors=True)


def _file(folder: Path, round_number: int, site: str) -> Path:
    return folder / f"round-{round_number:06d}" / f"{site}.safetensors"


def _read(path: Path, site: str, schema: AdapterSchema) -> ClientUpdate:
    # Read, not mapped: pages of a mapped file would be in memory beside the arrays.
    with safe_open(path, framework="numpy", backend="pread") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # not a dict
    return ClientUpdate(
        site=site,
        update=schema.unpack(group_of(tensors, "update")),
        examples=int(metadata["examples"]),
        weight=float(metadata["weight"]),
        extra=group_of(tensors, "extra"),
    )


def _read_part(path: Path, site: str, schema: AdapterSchema, names: frozenset[str]) -> ClientUpdate:
    with safe_open(path, framework="numpy", backend="pread") as file:
        metadata = file.metadata()
        flat = {dtype: file.get_slice(f"update/{dtype}") for dtype in {t.dtype for t in schema.tensors}}
        found = {}
        for spec in schema.tensors:
            if spec.name in names:
                dtype, start, end = schema.places[spec.name]
                found[spec.name] = flat[dtype][start:end].reshape(spec.shape)
    return ClientUpdate(site, found, int(metadata["examples"]), float(metadata["weight"]))
