"""Named arrays as the bytes of a safetensors file, and several tables of them in one."""

import json
from collections.abc import Mapping

import numpy as np
import safetensors.numpy

from common.state import AdapterState, Array


def to_safetensors(state: AdapterState, *, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the file's bytes, the tensors sorted by name.

    safetensors writes the memory of an array as it lies, and scrambles one that is not in C order; so each is made so.
    `format: pt` is what transformers and peft look for before they load a file.
    """
    arrays = {name: np.asarray(state[name], order="C") for name in sorted(state)}
    head = {"format": "pt", **(metadata or {})}
    return bytes(safetensors.numpy.save(arrays, metadata=head))


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
