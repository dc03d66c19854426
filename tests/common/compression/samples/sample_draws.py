"""Draws in place of an update, which shows with which numbers a site compresses."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from common.state import AdapterSchema, AdapterState, Array


@dataclass(frozen=True)
class SampleDraws:
    keeps_error: ClassVar[bool] = False
    draws: ClassVar[bool] = True
    in_words: ClassVar[str] = "draws"

    def wire_schema(self, asked: AdapterSchema) -> AdapterSchema:
        return asked

    def compress(
        self, update: AdapterState, error: AdapterState, rng: np.random.Generator
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        return {name: rng.random(update[name].shape, np.float32) for name in sorted(update)}, dict(error)

    def decompress(self, payload: AdapterState, asked: AdapterSchema) -> dict[str, Array]:
        return dict(payload)


build = SampleDraws
