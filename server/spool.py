"""Accepted replies on disk until their round closes, so that memory does not grow with the number of sites.

    FOLDER/round-000003/site-a.safetensors    update/DTYPE (packed), extra/NAME; example count and weight as metadata

A spool is scratch: a run that resumes asks again, and the sites answer with the same bytes. So it is written without
the care that a checkpoint needs.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from safetensors import safe_open

from common.state import AdapterSchema
from common.tensor_files import group_of, joined, save_safetensors
from server.aggregation import ClientUpdate

SMALL_BYTES: Final = 1 << 18
HELD_BYTES: Final = 1 << 25
"""Of small updates together."""


@dataclass
class Spool:
    """The spool of one run in `folder`; small updates, together at most `held_bytes`, are not written but held.

    A file of a few kilobytes costs as much as folding a thousand times what is in it.
    """

    folder: Path
    held_bytes: int = HELD_BYTES
    _held: dict[tuple[int, str], ClientUpdate] = field(default_factory=dict)
    _size: int = 0

    def put(self, round_number: int, update: ClientUpdate, schema: AdapterSchema) -> None:
        """Keep one update, whose tensors are those of `schema`; a second of the same site replaces the first."""
        key, size = (round_number, update.site), _size_of(update)
        self._size -= _size_of(self._held.pop(key)) if key in self._held else 0
        if size <= SMALL_BYTES and self._size + size <= self.held_bytes:
            named = {name: update.update[name] for name in schema.names}
            self._held[key], self._size = replace(update, update=named), self._size + size
        else:
            _write(_file(self.folder, *key), update, schema)

    def updates(self, round_number: int, schemas: Mapping[str, AdapterSchema]) -> Iterator[ClientUpdate]:
        """Give the updates of the sites in `schemas` one at a time, in the order of site names."""
        for site in sorted(schemas):
            held = self._held.get((round_number, site))
            yield _read(_file(self.folder, round_number, site), site, schemas[site]) if held is None else held

    def parts(
        self, round_number: int, schemas: Mapping[str, AdapterSchema], names: Iterable[str]
    ) -> Iterator[ClientUpdate]:
        """Give these tensors of each update, those that it has, and nothing else of it; as `updates` does."""
        wanted = frozenset(names)
        for site in sorted(schemas):
            held = self._held.get((round_number, site))
            if held is None:
                yield _read_part(_file(self.folder, round_number, site), site, schemas[site], wanted)
            else:
                yield replace(held, update={n: a for n, a in held.update.items() if n in wanted}, extra={})

    def drop(self) -> None:
        """Remove the spool of all rounds."""
        self._held.clear()
        self._size = 0
        shutil.rmtree(self.folder, ignore_errors=True)


def _size_of(update: ClientUpdate) -> int:
    return sum(array.nbytes for state in (update.update, update.extra) for array in state.values())


def _write(path: Path, update: ClientUpdate, schema: AdapterSchema) -> None:
    tensors = joined({"update": schema.pack(update.update), "extra": update.extra})
    metadata = {"examples": str(update.examples), "weight": repr(update.weight)}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_safetensors(path, tensors, metadata=metadata)


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
    # Mapped: to read a slice, the other way reads the whole file.
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        flat = {dtype: file.get_slice(f"update/{dtype}") for dtype in {t.dtype for t in schema.tensors}}
        found = {}
        for spec in schema.tensors:
            if spec.name in names:
                dtype, start, end = schema.places[spec.name]
                found[spec.name] = flat[dtype][start:end].reshape(spec.shape)
    return ClientUpdate(site, found, int(metadata["examples"]), float(metadata["weight"]))
