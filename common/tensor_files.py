"""Named arrays as the bytes of a safetensors file, and several tables of them in one."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from common.state import AdapterState, Array


def to_safetensors(state: AdapterState, *, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the file's bytes, the tensors sorted by name.

    safetensors writes the memory of an array as it lies, and scrambles one that is not in C order; so each is made so.
    `format: pt` is what transformers and peft look for before they load a file.
    """
    return bytes(safetensors.numpy.save(_ordered(state), metadata=_head(metadata)))


def save_safetensors(path: Path, state: AdapterState, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write the file straight from the arrays, whole or not at all: its bytes are never in memory as well.

    Only its owner may read it. It is with the system when this returns: `common.files.sync` makes it durable.

    Raises:
        OSError: the disk does not take it; the library says so in words of its own.
    """
    try:
        safetensors.numpy.save_file(_ordered(state), path, metadata=_head(metadata))
    except safetensors.SafetensorError as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from None


def _ordered(state: AdapterState) -> dict[str, Array]:
    return {name: np.asarray(state[name], order="C") for name in sorted(state)}


def _head(metadata: Mapping[str, str] | None) -> dict[str, str]:
    return {"format": "pt", **(metadata or {})}


def metadata_of(content: bytes) -> dict[str, str]:
    """Return the metadata of a file's bytes, which `safetensors.numpy.load` has accepted.

    >>> metadata_of(to_safetensors({"a": np.float32([1])}, metadata={"round": "3"}))["round"]
    '3'
    """
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return found


def joined(groups: Mapping[str, AdapterState]) -> dict[str, Array]:
    """Return the tensors of all groups in one table, under `group/name`; a group's own name has no slash."""
    return {f"{group}/{name}": array for group, state in groups.items() for name, array in state.items()}


def group_of(tensors: AdapterState, group: str) -> dict[str, Array]:
    """Return the tensors of one group of a joined table, by their own names; none where there is no such group."""
    prefix = f"{group}/"
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
