"""What an audit found: figures, never a row, a text or a token. As JSON it is `audit.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any  # JSON

from common.metrics.types import Metric
from simulations.audit.token_recovery import Recovery
from simulations.audit.verdict import Check, Verdict, overall

FORMAT = 1
JSON, PAGE = "audit.json", "audit.html"


@dataclass(frozen=True)
class Subject:
    """What was audited. kind: `simulation`, or `site` for a real site's own rows. privacy: the mechanism in words."""

    kind: str
    study: str
    description: str
    digest: str
    method: str
    privacy: str
    guarantee: Mapping[str, object] | None
    rounds: int
    sites: tuple[str, ...]


@dataclass(frozen=True)
class CanaryFindings:
    """exposures: of each canary, in bits. most: what one could have. chance: the mean where nobody trained on them."""

    site: str
    count: int
    repeats: int
    references: int
    exposures: tuple[float, ...]
    most: float
    chance: float


@dataclass(frozen=True)
class TokenSetting:
    """One way in which tokens were looked for, at one site. counts: whether it is the upload that really left."""

    name: str
    scope: str
    found: Recovery
    counts: bool


@dataclass(frozen=True)
class TokenFindings:
    """Tokens looked for; `missing` says why, where nothing or not everything could be."""

    settings: tuple[TokenSetting, ...]
    missing: str | None = None


@dataclass(frozen=True)
class Sanity:
    """A figure that must be chance: that of an attack on rows that a model never saw."""

    label: str
    auc: Metric

    @property
    def is_as_expected(self) -> bool:
        """Whether 0.5 is in the interval."""
        low, high = self.auc.low, self.auc.high
        return low is not None and high is not None and low <= 0.5 <= high


@dataclass(frozen=True)
class Audit:
    """Everything of one audit. seconds: that it took. without: what was not measured, and why."""

    subject: Subject
    checks: tuple[Check, ...]
    sanity: tuple[Sanity, ...]
    canaries: CanaryFindings | None
    tokens: TokenFindings
    shadows: int
    resamples: int
    without: tuple[str, ...]
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """Of all checks."""
        return overall(self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return the content of `audit.json`."""
        return {
            "format": FORMAT,
            **vars(self.subject),
            "sites": list(self.subject.sites),
            "guarantee": None if self.subject.guarantee is None else dict(self.subject.guarantee),
            "verdict": self.verdict,
            "checks": [_check_json(check) for check in self.checks],
            "sanity": [
                {"label": each.label, **each.auc.to_json(), "as_expected": each.is_as_expected} for each in self.sanity
            ],
            "canaries": None
            if self.canaries is None
            else {**vars(self.canaries), "exposures": [*self.canaries.exposures]},
            "tokens": {"missing": self.tokens.missing, "settings": [_setting_json(s) for s in self.tokens.settings]},
            "shadows": self.shadows,
            "resamples": self.resamples,
            "without": list(self.without),
            "seconds": self.seconds,
        }


def _check_json(check: Check) -> dict[str, Any]:
    return {
        "key": check.key,
        "label": check.label,
        "scope": check.scope,
        **check.metric.to_json(),
        "chance": check.chance,
        "probability_by_chance": check.probability,
        "threshold": check.threshold,
        "verdict": check.verdict,
        "units": check.units,
        "units_needed": check.units_needed,
        "leading": check.leading,
    }


def _setting_json(setting: TokenSetting) -> dict[str, Any]:
    found = setting.found
    return {
        "name": setting.name,
        "scope": setting.scope,
        "counts": setting.counts,
        "recall": found.recall.to_json(),
        "beyond_chance": found.beyond.to_json(),
        "auc": found.auc.to_json(),
        "tokens": found.true,
        "candidates": found.candidates,
        "attacks": found.attacks,
    }
