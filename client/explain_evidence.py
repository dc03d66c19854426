"""What a study has told at the end of this site's patients, for the person who approves it."""

from collections.abc import Iterator

from client.policy import Policy
from common.study import Study

_BLANK = " " * len("evidence      ")


def evidence_lines(study: Study, policy: Policy) -> Iterator[str]:
    """Yield what is asked for, and what of it this policy lets out."""
    asked = study.evaluation
    if not asked.asks_more:
        yield "evidence      none is asked for: nothing describes the patients or parts of them"
        return
    least = max(asked.small_cell, policy.small_cell)
    if not policy.release_cohort:
        yield "evidence      asked for, and none leaves: the policy's release_cohort is false. It would be"
    else:
        yield f"evidence      leaves once, at the end; of fewer than {least} patients nothing, nor what tells of them"
        yield f"{_BLANK}another study with other columns or cuts, or a later one, can be compared with it: look at both"
    if asked.cohort:
        columns = [name for name, column in study.data.columns.items() if column.type != "text"]
        yield f"{_BLANK}cohort: rows, patients, labels; counts, or sums and sums of squares, of {_listed(columns)}"
    if asked.subgroups:
        yield f"{_BLANK}subgroups: the metrics of test rows by {', '.join(asked.subgroups)}"
    if asked.recalibration:
        yield f"{_BLANK}recalibration: calibration of test rows before and after a map fitted on validation rows"


def _listed(columns: list[str]) -> str:
    return ", ".join(columns) or "no column"
