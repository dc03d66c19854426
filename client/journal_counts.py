"""What a site's journal counts up to: answers, refusals by their words, bytes and rows, read as it grows."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final  # JSON values

from common.growing import lines_after
from common.protocol import REASONS

OTHER: Final = "OTHER"
"""Stands for a word that is none of ours: what is counted by has a bound."""
_KINDS: Final = frozenset({"train", "evaluate", "preflight"})
_DECISIONS: Final = frozenset({"released", "repeated", "refused"})


@dataclass
class JournalCounts:
    """Sums over the whole lines of a journal so far; `position` is the byte behind them.

    answers: by kind and decision. refusals: by word. size_bytes: of the tensors that left, again ones too. rows: which
    released rounds were trained on, those of each round anew.
    """

    path: Path
    position: int = 0
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0
    rows: int = 0

    def read_on(self) -> None:
        """Count what was appended. Raises OSError where the file cannot be read."""
        if not self.path.exists():
            return
        for position, line in lines_after(self.path, self.position):
            self.position = position
            self._count(_entry(line))

    def _count(self, entry: Mapping[str, Any]) -> None:
        kind, decision = entry.get("kind"), entry.get("decision")
        if kind not in _KINDS or decision not in _DECISIONS:
            return  # the line that begins the log
        self.answers[kind, decision] += 1
        if decision == "refused":
            reason = entry.get("reason")
            self.refusals[reason if reason in REASONS else OTHER] += 1
            return
        self.size_bytes += entry.get("size_bytes") or 0
        if kind == "train" and decision == "released":
            self.rows += entry.get("examples") or 0


def _entry(line: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
