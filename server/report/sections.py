"""The order of a report: which paragraphs, tables and charts stand under which heading."""

from collections.abc import Mapping
from typing import Any  # results are JSON

from server.report import charts, comparison, continual, diagnostics, evidence, facts, privacy, provenance, rounds
from server.report.layout import Figure, Section, Table
from server.report.lead import labels_of, lead_of
from server.report.modes import present_modes
from server.report.values import rounds_of, section, site_names

READING = (
    "Intervals are 95 %, by resampling patients; a dash is a number that could not be measured, with its reason below "
    "the table."
)
BENEFIT_MEANING = (
    "A hospital is called better or worse off only where the interval excludes zero; about one such interval in twenty "
    "does so by chance alone."
)
AGAIN = (
    "With the same versions, machine, threads, precision and attention implementation, this command, typed in the same "
    "folder, gives the same adapter. The study as it ran is below."
)
AGAIN_WITH_NOISE = (
    "This command, typed in the same folder, plays the same study; its noise is drawn anew, so that the adapter will "
    "be another one, and what it spends of privacy comes on top. The study as it ran is below."
)
NOT_AGAIN = "No `fedpeft simulate` started this run, so none is given here that starts it again; the study is below."


def sections(results: Mapping[str, Any], curves: Mapping[str, Any]) -> list[Section]:
    """Return the sections of the report; those without content are left out."""
    found = [
        _comparison(results),
        _benefit(results),
        evidence.weakest_section(results),
        evidence.subgroups_section(results),
        evidence.limits_section(results),
        evidence.cohort_section(results),
        Section("ROC and calibration", figures=_kept(charts.roc_chart(curves), charts.calibration_chart(curves))),
        evidence.recalibration_section(results),
        evidence.decision_section(results),
        evidence.contributions_section(results),
        _matrix(results),
        _seeds(results),
        _continual(results),
        _training(results),
        _diagnostics(results),
        _participation(results),
        _cost(results),
        _privacy(results),
        _provenance(results),
        _reproduction(results),
    ]
    return [part for part in found if not part.is_empty]


def _kept(*figures: Figure | None) -> tuple[Figure, ...]:
    return tuple(figure for figure in figures if figure is not None)


def _tables(*tables: Table | None) -> tuple[Table, ...]:
    return tuple(table for table in tables if table is not None)


def _comparison(results: Mapping[str, Any]) -> Section:
    compared = section(results, "comparison")
    if not present_modes(compared):
        return Section("Comparison", ("This run made no comparison with local or central training.",))
    lead, labels = lead_of(results), labels_of(results)
    modes = comparison.modes_table(compared, site_names(results), lead)
    metrics = [comparison.metrics_table(compared, scope, labels, lead) for scope in ("pooled", "mean")]
    return Section("Comparison", (f"{lead.meaning} {READING}",), tables=_tables(modes, *metrics))


def _benefit(results: Mapping[str, Any]) -> Section:
    compared, sites = section(results, "comparison"), site_names(results)
    table = comparison.benefit_table(compared, sites, lead_of(results))
    if table is None:
        return Section("Benefit of joining")
    figures = _kept(charts.benefit_chart(compared, sites, lead_of(results)))
    return Section("Benefit of joining", (BENEFIT_MEANING,), figures, (table,))


def _matrix(results: Mapping[str, Any]) -> Section:
    table = comparison.matrix_table(section(results, "comparison"), site_names(results), lead_of(results))
    return Section("Each hospital's own model at every hospital", tables=_tables(table))


def _seeds(results: Mapping[str, Any]) -> Section:
    table = comparison.seeds_table(section(results, "comparison"), lead_of(results))
    seeds = ", ".join(str(seed) for seed in results.get("seeds") or ())
    text = f"Seeds {seeds}. Everything per hospital above is of seed {results.get('seed')}."
    return Section("Over seeds", (text,), tables=(table,)) if table else Section("Over seeds")


def _continual(results: Mapping[str, Any]) -> Section:
    texts = continual.sentences(results)
    if not texts:
        return Section("Further phase")
    return Section(
        "Further phase", (*texts, continual.MEANING), tables=tuple(continual.tables(results, lead_of(results)))
    )


def _training(results: Mapping[str, Any]) -> Section:
    sites = site_names(results)
    figures = _kept(charts.loss_chart(results, sites), charts.validation_chart(results, sites))
    entries = rounds_of(results)
    tables = (rounds.rounds_table(entries, lead_of(results)),) if entries else ()
    early = results.get("stopped_early")
    texts = (f"The rounds ended before their number: {early}.",) if early else ()
    return Section("Training, round by round", texts, figures, tables)


def _diagnostics(results: Mapping[str, Any]) -> Section:
    entries = rounds_of(results)
    texts = (diagnostics.FILE, *diagnostics.reasons(entries))
    figures, table = diagnostics.charts(entries, site_names(results)), rounds.diagnostics_table(entries)
    return Section("What the updates say of each other", texts if figures or table else (), figures, _tables(table))


def _participation(results: Mapping[str, Any]) -> Section:
    entries = rounds_of(results)
    tables = (rounds.participation_table(entries, site_names(results)),) if entries else ()
    return Section("Participation", tables=tables)


def _cost(results: Mapping[str, Any]) -> Section:
    tables = (facts.parameters_table(results), facts.bytes_table(results), facts.seconds_table(results))
    return Section("Parameters, bytes, time", tables=tables)


def _privacy(results: Mapping[str, Any]) -> Section:
    texts = privacy.sentences(results)
    if not privacy.has_privacy(results):
        return Section("Privacy", texts)
    of_all = {key: value for key, value in section(results, "privacy").items() if key != "sites"}
    recorded = facts.details_table("Recorded privacy accounting", of_all)
    return Section("Privacy", texts, tables=(*privacy.spent_table(results), recorded))


def _reproduction(results: Mapping[str, Any]) -> Section:
    again = facts.command(results)
    text = AGAIN_WITH_NOISE if privacy.has_privacy(results) else AGAIN
    folded = ("The study as it ran", facts.study_text(results))
    return Section(
        "Running it again", (text if again else NOT_AGAIN,), (), facts.recorded_tables(results), again, folded
    )


def _provenance(results: Mapping[str, Any]) -> Section:
    return Section("Provenance", tables=_tables(*provenance.provenance_tables(results)))
