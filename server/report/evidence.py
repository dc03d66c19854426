"""The report's sections for who judges an adapter: patients, weak places, subgroups, calibration, decisions, limits."""

from collections.abc import Mapping
from typing import Any  # results are JSON

from server.report import contributions, decision, recalibration, weakest
from server.report.cohort import cohort_table
from server.report.layout import Section, Table
from server.report.lead import lead_of
from server.report.limits import limits
from server.report.subgroups import subgroups_table
from server.report.values import site_names

COHORT = (
    "Training, validation and test rows together. Cells of few patients are hidden, and others with them where the "
    "total would give them away; totals are of what was told."
)
SUBGROUPS = (
    "Each part has its own interval; where these overlap, a difference may be chance. Parts of few patients are "
    "hidden, and others that would tell of them. Pooled is over the hospitals that show the part."
)


def weakest_section(results: Mapping[str, Any]) -> Section:
    """Where the joint model does worst."""
    return Section("Where it is weakest", tuple(weakest.sentences(results)))


def subgroups_section(results: Mapping[str, Any]) -> Section:
    """How the joint model does in parts of the test rows."""
    return _with_table("Subgroups", SUBGROUPS, subgroups_table(results, site_names(results), lead_of(results)))


def cohort_section(results: Mapping[str, Any]) -> Section:
    """Who the patients are."""
    return _with_table("Patients", COHORT, cohort_table(results, site_names(results)))


def recalibration_section(results: Mapping[str, Any]) -> Section:
    """How probabilities fit each hospital, before and after a map of its own."""
    table = recalibration.recalibration_table(results, site_names(results))
    return _with_table("Calibration at each hospital", recalibration.MEANING, table)


def decision_section(results: Mapping[str, Any]) -> Section:
    """Whether it is worth acting on the predictions."""
    figure, table = decision.decision_chart(results), decision.decision_table(results)
    if figure is None or table is None:
        return Section("Decision curve")
    return Section("Decision curve", (decision.MEANING, decision.useful_range(results)), (figure,), (table,))


def contributions_section(results: Mapping[str, Any]) -> Section:
    """What each hospital adds."""
    table = contributions.contributions_table(results, site_names(results), lead_of(results))
    return _with_table("What each hospital adds", contributions.MEANING, table)


def limits_section(results: Mapping[str, Any]) -> Section:
    """What a reader must know before believing the rest."""
    return Section("Known limits", points=tuple(limits(results)))


def evidence_tables(results: Mapping[str, Any]) -> list[Table]:
    """Return the tables of all of these that a run has, for the model card."""
    first = (part(results) for part in (cohort_section, subgroups_section, recalibration_section))
    decisions = decision.decision_table(results)  # without its chart, which takes longer than all the tables
    found = [table for part in first for table in part.tables]
    return [*found, *([] if decisions is None else [decisions]), *contributions_section(results).tables]


def _with_table(title: str, text: str, table: Table | None) -> Section:
    return Section(title) if table is None else Section(title, (text,), tables=(table,))
