"""The site's own log of every training step, as JSON lines in its folder. It never leaves; nothing reads it but people.

Scalars are read from the device some steps at a time: reading one makes a GPU wait for all that it was given.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from client.steps import Step
from common.files import opened

EVERY: Final = 64
"""Steps that are read together."""
SITE_LOG = logging.getLogger("fedpeft.site")


@dataclass(frozen=True)
class StepLog:
    """Lines in the file `path`; from `limit_bytes` on it is moved to `path`.1, whose lines are dropped then."""

    path: Path
    limit_bytes: int = 4 << 20

    @contextmanager
    def of_round(self, **about: object) -> Iterator[Callable[[Step], None]]:
        """Yield what takes the steps of one round, and write the rest at its end, or where it is cut short.

        about: what stands in front of each line, such as study, run and round.
        """
        waiting: list[Step] = []

        def note(step: Step) -> None:
            waiting.append(step)
            if len(waiting) == EVERY:
                self._write(about, waiting)
                waiting.clear()

        try:
            yield note
        finally:
            self._write(about, waiting)

    def _write(self, about: Mapping[str, object], steps: Sequence[Step]) -> None:
        lines = [json.dumps({**about, **line}, allow_nan=False) for line in figures(steps)]
        content = "".join(f"{line}\n" for line in lines).encode()
        try:
            self._append(content)
        except OSError as error:  # the work goes on without its log
            SITE_LOG.warning("the log of steps cannot be written: %s", error.strerror)

    def _append(self, content: bytes) -> None:
        if not self._append_within(content):
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
            self._append_within(content)

    def _append_within(self, content: bytes) -> bool:
        """Append, unless the file has lines and would have more than the limit with these; return whether it did."""
        with os.fdopen(opened(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
            size = file.seek(0, os.SEEK_END)
            if size and size + len(content) > self.limit_bytes:
                return False
            file.write(content)
        return True


def figures(steps: Sequence[Step]) -> list[dict[str, float | int | None]]:
    """Return each step's figures as JSON has them, read from the device at once; what is not finite is null."""
    import torch

    if not steps:
        return []
    missing = torch.full_like(steps[0].loss, math.nan)
    rows = [[s.loss, s.gradient_norm, missing if s.update_norm is None else s.update_norm] for s in steps]
    read = torch.stack([scalar.float() for row in rows for scalar in row]).reshape(-1, 3).tolist()
    return [
        {
            "step": step.number + 1,
            "loss": _finite(loss),
            "gradient_norm": _finite(gradient),
            "update_norm": _finite(update),
            "learning_rate": step.learning_rate,
        }
        for step, (loss, gradient, update) in zip(steps, read, strict=True)
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
