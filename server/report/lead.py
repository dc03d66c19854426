"""The metric that leads a report: the first of those that the results list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # results are JSON

from common.metrics.classes import INFOS
from server.report.values import Estimate, Verdict, verdict


@dataclass(frozen=True)
class Lead:
    """Its key, its name for people, what it says, and which way is better."""

    name: str
    label: str
    meaning: str = ""
    higher_is_better: bool = True

    @property
    def benefit(self) -> str:
        """What a benefit of joining is, in words: such that more is better."""
        return f"{self.label}, {'joint minus own' if self.higher_is_better else 'own minus joint'} model"

    def verdict(self, difference: Estimate) -> Verdict:
        """Say what a difference of two models' values shows of the first."""
        flipped: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
        found = verdict(difference)
        return found if self.higher_is_better else flipped.get(found, found)

    def at_least(self, first: float, second: float) -> bool:
        """Whether the first value, as it is shown, is as good as the second or better."""
        rounded = round(first, 3), round(second, 3)
        return rounded[0] >= rounded[1] if self.higher_is_better else rounded[0] <= rounded[1]


AUROC = Lead(INFOS[0].name, INFOS[0].label, INFOS[0].meaning)


def lead_of(results: Mapping[str, Any]) -> Lead:
    """Return the leading metric; AUROC where the results list none."""
    for found in _infos(results):
        return Lead(found["name"], found["label"], found["meaning"], found["higher_is_better"])
    return AUROC


def labels_of(results: Mapping[str, Any]) -> dict[str, str]:
    """Return every metric's name for people, by key, in the order of tables."""
    infos = _infos(results)
    return {info["name"]: info["label"] for info in infos} if infos else {info.name: info.label for info in INFOS}


def _infos(results: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return results.get("metrics") or ()
