"""No compression: the update travels as it is, 4 bytes for each of its numbers."""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from common.state import AdapterSchema, AdapterState, Array


@dataclass(frozen=True)
class Uncompressed:
    """The identity, of tensors of any dtype."""

    keeps_error: ClassVar[bool] = False
    draws: ClassVar[bool] = False

    @property
    def in_words(self) -> str:
        """What is done to an update."""
        return "none: each number leaves as it is"

    def wire_schema(self, asked: AdapterSchema) -> AdapterSchema:
        """Return the tensors themselves."""
        return asked

    def compress(
        self,
        update: AdapterState,
        error: AdapterState,
        rng: np.random.Generator,  # noqa: ARG002 # nothing is drawn
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the update, finite or not, and what was remembered."""
        return dict(update), dict(error)

    def decompress(self, payload: AdapterState, asked: AdapterSchema) -> dict[str, Array]:  # noqa: ARG002
        """Return the payload."""
        return dict(payload)


build = Uncompressed
UNCOMPRESSED: Final = Uncompressed()
