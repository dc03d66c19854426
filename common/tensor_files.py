"""Named arrays as the bytes of a safetensors file."""

from collections.abc import Mapping

import numpy as np
import safetensors.numpy

from common.state import AdapterState


def to_safetensors(state: AdapterState, *, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the file's bytes, the tensors sorted by name.

    safetensors writes the memory of an array as it lies, and scrambles one that is not in C order; so each is made so.
    `format: pt` is what transformers and peft look for before they load a file.
    """
    arrays = {name: np.asarray(state[name], order="C") for name in sorted(state)}
    head = {"format": "pt", **(metadata or {})}
    return bytes(safetensors.numpy.save(arrays, metadata=head))
