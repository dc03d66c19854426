"""No privacy mechanism: no noise is added, and nothing is promised beyond what stays at home."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from common.privacy import Unit

if TYPE_CHECKING:
    from common.study import Study


@dataclass(frozen=True)
class NoPrivacy:
    """Nothing is added, nothing is counted."""

    unit: ClassVar[Unit | None] = None

    @property
    def in_words(self) -> str:
        """What is done."""
        return "none: no noise is added, and updates alone can tell of single patients"

    def check(self, study: Study) -> None:
        """Take any study."""

    def guarantee(self, study: Study) -> Mapping[str, object] | None:  # noqa: ARG002 # of any study
        """Return None: there is no guarantee."""
        return None


build = NoPrivacy
