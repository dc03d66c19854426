"""Accepted replies on disk until their round closes, so that memory does not grow with the number of sites.

    FOLDER/round-000003/site-a.safetensors    update/NAME, extra/NAME, example count and weight as metadata

A spool is scratch: a run that resumes asks again, and the sites answer with the same bytes.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import save

from common.files import write_bytes
from common.state import AdapterState
from server.aggregation import ClientUpdate


def put(folder: Path, round_number: int, update: ClientUpdate) -> None:
    """Write one update; a second one of the same site takes the place of the first."""
    tensors = {f"update/{name}": array for name, array in update.update.items()}
    tensors |= {f"extra/{name}": array for name, array in update.extra.items()}
    metadata = {"examples": str(update.examples), "weight": repr(update.weight)}
    write_bytes(_file(folder, round_number, update.site), save(tensors, metadata), durable=False)


def updates(folder: Path, round_number: int, sites: Iterable[str]) -> Iterator[ClientUpdate]:
    """Read the updates of these sites one at a time, in the order of site names."""
    for site in sorted(sites):
        yield _read(_file(folder, round_number, site), site)


def drop(folder: Path) -> None:
    """Remove the spool of all rounds."""
    shutil.rmtree(folder, ignore_errors=True)


def _file(folder: Path, round_number: int, site: str) -> Path:
    return folder / f"round-{round_number:06d}" / f"{site}.safetensors"


def _read(path: Path, site: str) -> ClientUpdate:
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # not a dict
    return ClientUpdate(
        site=site,
        update=_group(tensors, "update/"),
        examples=int(metadata["examples"]),
        weight=float(metadata["weight"]),
        extra=_group(tensors, "extra/"),
    )


def _group(tensors: AdapterState, prefix: str) -> AdapterState:
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
