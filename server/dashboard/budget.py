"""What a run promises of privacy, and what its rounds have spent of it so far, as far as the server can know."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any  # studies are JSON

from pydantic import ValidationError

from common.errors import StudyError
from common.files import canonical_json
from common.privacy._accounting import Spending
from common.protecting import mechanism_of
from common.study import Study
from server.noised_mean import rule_of
from server.report.values import find, number, section


@dataclass(frozen=True)
class Budget:
    """Epsilon at `delta`, planned for all rounds and spent so far, of a `unit`, patient or site.

    spent: None where only each site's own ledger knows it. sites: epsilon by site, where a simulation could look.
    """

    mechanism: str
    unit: str
    delta: float | None
    planned: float | None
    spent: float | None
    sites: Mapping[str, float]


def budget(study: Mapping[str, Any], results: Mapping[str, Any], done: int) -> Budget | None:
    """Return the budget after `done` rounds; None where the study protects nobody formally."""
    if find(study, "privacy", "mechanism") in (None, "none"):
        return None
    promised = _promise(canonical_json(study))
    if promised is None:
        return None
    sites = {site: number(section(results, "privacy", "sites"), site, "epsilon") for site in _sites(results)}
    spent = number(results, "privacy", "epsilon") if promised.unit == "site" and results else None
    if spent is None:
        spent = _spent(canonical_json(study), done)
    known = {site: value for site, value in sites.items() if value is not None}
    return Budget(promised.mechanism, promised.unit, promised.delta, promised.planned, spent, known)


def _sites(results: Mapping[str, Any]) -> list[str]:
    return list(section(results, "privacy", "sites"))


@lru_cache(maxsize=64)
def _promise(text: bytes) -> Budget | None:
    """Accounting takes a second or two, and a study does not change."""
    study = _study(text)
    found = None if study is None else mechanism_of(study).guarantee(study)
    if study is None or found is None:
        return None
    planned, delta = number(found, "epsilon"), number(found, "delta")
    return Budget(str(found["mechanism"]), str(found["unit"]), delta, planned, None, {})


@lru_cache(maxsize=256)
def _spent(text: bytes, done: int) -> float | None:
    """Only where the server adds the noise does it know what rounds cost."""
    study = _study(text)
    rule = None if study is None else rule_of(study, len(study.federation.sites))
    if rule is None:
        return None
    return rule.epsilon_of([Spending(rule.noise_multiplier, 1.0, done)]) if done else 0.0


def _study(text: bytes) -> Study | None:
    try:
        return Study.model_validate_json(text)
    except (ValidationError, StudyError):
        return None
