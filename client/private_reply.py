"""What a reply says beside noised tensors, in a study that protects single patients: nothing that noise does not cover.

No loss, no gradient norm, no time; counts in steps; no metric, unless the hospital's policy lets exact ones out, which
the guarantee then does not cover. `hidden` takes the rest away, and `client.gate` refuses what says more.
"""

from dataclasses import replace

from client.policy import Policy
from common.metrics.types import Metric, Scores
from common.protocol import Reply, SplitEvaluation

STAYS = "this study's privacy mechanism lets out no metric"


def rounded(count: int, step: int) -> int:
    """Return a count as it may leave: the nearest multiple of `step`, at least one.

    >>> rounded(183, 10), rounded(3, 10), rounded(3, 1)
    (180, 10, 3)
    """
    return max(step, step * round(count / step))


def hidden(reply: Reply, policy: Policy) -> Reply:
    """Return a reply without what noise does not cover: exact counts, loss, times, and metrics."""
    evaluations = reply.evaluations
    if not policy.exact_metrics:
        evaluations = {split: _hidden(each, policy.count_step) for split, each in evaluations.items()}
    return replace(reply, examples=rounded(reply.examples, policy.count_step), train={}, evaluations=evaluations)


def _hidden(evaluation: SplitEvaluation, step: int) -> SplitEvaluation:
    scores = evaluation.scores
    metrics = {name: Metric(None, n=0, reason=STAYS) for name in scores.metrics}
    return SplitEvaluation(Scores(rounded(scores.n, step), rounded(scores.patients, step), metrics))


def says_more(reply: Reply, policy: Policy) -> bool:
    """Whether a reply has more than `hidden` leaves of it."""
    if any(each.evidence is not None for each in reply.evaluations.values()):
        return True
    counts = [reply.examples]
    if not policy.exact_metrics:
        scores = [each.scores for each in reply.evaluations.values()]
        if any(each.summary is not None for each in reply.evaluations.values()):
            return True
        if any(metric.value is not None or metric.n for each in scores for metric in each.metrics.values()):
            return True
        counts += [count for each in scores for count in (each.n, each.patients)]
    return bool(reply.train) or any(count % policy.count_step for count in counts)
