"""Compressions of updates: one file is one way to send fewer bytes, with the site's half and the server's half of it.

A module has `build`, a frozen dataclass whose fields are the study's options and which is a `Compression`; a study
chooses one by `compression.method`. It sees numpy arrays only, mutates nothing, and what a site must remember from
round to round it returns. Its module docstring cites the paper and states the formula, bytes, and what it does not go
with. What it compresses are a site's updates, float32; what the server sends, and what a plan asks for beside an
update, travel as they are.
"""

from typing import ClassVar, Protocol

import numpy as np

from common.state import AdapterSchema, AdapterState, Array


class Compression(Protocol):
    """Both halves of a compression.

    keeps_error: whether a site remembers what it has left out, and sends it later; what keeps no error is unbiased:
        the mean of `decompress` over the draws of `rng` is the update.
    draws: whether `compress` takes anything from `rng`.
    """

    keeps_error: ClassVar[bool]
    draws: ClassVar[bool]

    @property
    def in_words(self) -> str:
        """What is done to an update, for the person who approves a study."""
        ...

    def wire_schema(self, asked: AdapterSchema) -> AdapterSchema:
        """Return exactly what travels in place of the tensors of `asked`; its `size_bytes` are all bytes of values.

        Raises:
            SchemaError: a tensor is not float32.
        """
        ...

    def compress(
        self, update: AdapterState, error: AdapterState, rng: np.random.Generator
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the payload, as `wire_schema` says it, and what the site remembers after it.

        error: what it remembered before, by name of the tensor, float64; empty in the beginning. Tensors that are not
            in `update` keep theirs.

        Raises:
            NotFiniteError: the update, or what is to be sent of it, is not finite in float32.
        """
        ...

    def decompress(self, payload: AdapterState, asked: AdapterSchema) -> dict[str, Array]:
        """Return the update, float32, that a payload stands for; the payload is as `wire_schema(asked)` says it.

        Raises:
            SchemaError: its content is none that `compress` makes.
        """
        ...
