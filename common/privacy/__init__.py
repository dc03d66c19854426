"""Privacy mechanisms: one file is one guarantee, with the maths of both sides, its sensitivity and its accounting.

A module has `build`, a frozen dataclass whose fields are the study's options and which is a `Mechanism`; a study
chooses one by `privacy.mechanism`. It needs no torch. Its module docstring cites the paper, states what is bounded, by
which norm, and what the guarantee assumes. The work on gradients is the site's (`client`), accounts are kept by who
spends: a site's ledger for patients, the server's checkpoint for sites.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from common.study import Study

Unit = Literal["patient", "site"]
"""Whose presence or absence a guarantee hides."""


class Mechanism(Protocol):
    """What a study promises. unit: of whom the guarantee is; None where there is none."""

    unit: ClassVar[Unit | None]

    @property
    def in_words(self) -> str:
        """What is done and promised, for the person who approves a study."""
        ...

    def check(self, study: Study) -> None:
        """Raise StudyError where the rest of the study does not go with the mechanism."""

    def guarantee(self, study: Study) -> Mapping[str, object] | None:
        """Return what results record as `privacy`: mechanism, unit, epsilon, delta and whatever they depend on.

        None where nothing is promised. Values that only the sites know are None.
        """
