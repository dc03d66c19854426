"""The privacy mechanism that a study names, and whether the study goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from common import plugins

if TYPE_CHECKING:
    from common.privacy import Mechanism
    from common.study import Study

PACKAGE: Final = "common.privacy"
KEY: Final = "privacy.mechanism"


def mechanism_of(study: Study) -> Mechanism:
    """Return the privacy mechanism of a study. Raises StudyError."""
    built: Mechanism = plugins.build(PACKAGE, study.privacy.mechanism, study.privacy.options, key=KEY)
    return built


def check_privacy(study: Study) -> None:
    """Raise StudyError where the study's mechanism is unknown, badly set, or does not go with the rest."""
    mechanism_of(study).check(study)
