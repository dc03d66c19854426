"""An audit in plain sentences, for the page and the terminal."""

from collections.abc import Iterator, Sequence

from common.metrics.types import Metric
from server.report.formats import joined, plain
from simulations.audit.findings import Audit
from simulations.audit.verdict import Check, Verdict

VERDICTS: dict[Verdict, str] = {
    "fail": "FAIL: an attack got beyond its threshold, and not by chance.",
    "pass": "PASS: every attack that was tried stayed below its threshold, with its whole interval.",
    "inconclusive": "INCONCLUSIVE: no attack is beyond its threshold for sure, and not every interval is below it.",
    "not measured": "NOT MEASURED: no attack could be tried.",
}
BELOW = (
    "An audit bounds leakage from below: it says what these attacks found, and nothing about others. Only a privacy "
    "mechanism bounds it from above."
)


def figure(metric: Metric, digits: int = 3) -> str:
    """Return a value with its interval.

    >>> figure(Metric(0.5, 10, 0.4, 0.6)), figure(Metric(None, 0, reason="no rows"))
    ('0.500 (0.400 to 0.600)', 'not measured: no rows')
    """
    if metric.value is None:
        return f"not measured{f': {metric.reason}' if metric.reason else ''}"
    between = "" if metric.low is None else f" ({plain(metric.low, digits)} to {plain(metric.high, digits)})"
    return f"{plain(metric.value, digits)}{between}"


def needed(check: Check) -> str:
    """Return how many units would decide an open check."""
    if check.units_needed is None:
        return ""
    kind = "canaries" if check.key.startswith("canary") else "rows"
    return f"about {check.units_needed:,} {kind} would decide it, in place of {check.units:,}"


def sentences(found: Audit) -> list[str]:
    """Return what was found: the verdict, what failed, what is open, what was not measured, and what that means."""
    return [
        VERDICTS[found.verdict],
        *_failures(found.checks),
        *_open(found.checks),
        *_sanity(found),
        *_rest(found),
        BELOW,
    ]


def _failures(checks: Sequence[Check]) -> Iterator[str]:
    for check in checks:
        if check.verdict == "fail":
            yield (
                f"{check.label}, {check.scope}: {figure(check.metric)}, where chance gives {plain(check.chance)} and "
                f"the study allows {plain(check.threshold)}."
            )


def _open(checks: Sequence[Check]) -> Iterator[str]:
    leading = [f"{check.label}, {check.scope}" for check in checks if check.leading and check.verdict == "inconclusive"]
    if leading:
        yield f"Open: {joined(leading, separator=';')}."
    others = sorted({check.scope for check in checks if not check.leading and check.verdict == "inconclusive"})
    if others:
        yield f"Alone, these sites have too few rows to tell: {joined(others)}."


def _sanity(found: Audit) -> Iterator[str]:
    wrong = [each.label for each in found.sanity if each.auc.value is not None and not each.is_as_expected]
    if wrong:
        yield (
            "A figure that must be chance is not, which happens in one audit of twenty, or means that members and "
            f"others differ by more than training: {joined(wrong, separator=';')}."
        )


def _rest(found: Audit) -> Iterator[str]:
    if found.without:
        yield f"Without {joined(found.without, separator=';')}."
