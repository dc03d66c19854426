"""What of a site's evidence its policy lets out: all of it, without metrics that may not leave, or none."""

from collections.abc import Mapping
from dataclasses import replace

from client.policy import Policy
from common.metrics.recalibration import LINE, Recalibration
from common.metrics.types import Metric, Scores
from common.site_evidence import SiteEvidence, Subgroup

NOT_RELEASED = "the site does not release this metric"


def let_out(evidence: SiteEvidence, policy: Policy) -> SiteEvidence | None:
    """Return the evidence as it may leave, None where the policy has none leave, or none of cells as small as these."""
    small = evidence.small_cell < policy.small_cell or any(0 < count < policy.small_cell for count in evidence.counts())
    if not policy.release_cohort or small:
        return None
    subgroups = evidence.subgroups
    if subgroups is not None:
        subgroups = {
            column: {level: None if each is None else _subgroup(each, policy) for level, each in levels.items()}
            for column, levels in subgroups.items()
        }
    found = None if evidence.recalibration is None else _recalibration(evidence.recalibration, policy)
    return replace(evidence, subgroups=subgroups, recalibration=found)


def _subgroup(subgroup: Subgroup, policy: Policy) -> Subgroup:
    summary = subgroup.summary if policy.release_histograms else None
    return Subgroup(allowed(subgroup.scores, policy), summary)


def allowed(scores: Scores, policy: Policy) -> Scores:
    """Return scores without the values of metrics that the policy does not name."""
    return replace(scores, metrics=_kept(scores.metrics, policy.metrics))


def _recalibration(found: Recalibration, policy: Policy) -> Recalibration:
    names = (*policy.metrics, *LINE)
    before, after, change = (_kept(part, names) for part in (found.before, found.after, found.change))
    return replace(found, before=before, after=after, change=change)


def _kept(metrics: Mapping[str, Metric], names: tuple[str, ...]) -> dict[str, Metric]:
    return {m: v if m in names else Metric(None, n=v.n, reason=NOT_RELEASED) for m, v in metrics.items()}
