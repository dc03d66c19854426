"""Known limits of a run, each made from a fact in its results: what a reader must know before believing the rest."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final  # results are JSON

from server.report import privacy
from server.report.cohort import hidden_count
from server.report.formats import counted, joined
from server.report.lead import lead_of
from server.report.recalibration import badly_calibrated
from server.report.subgroups import hidden_subgroups
from server.report.values import estimate, find, rounds_of, section, seed_count, site_names, verdict
from server.report.weakest import examined

FEW_TEST_ROWS: Final = 50
REAL = "superlink"


def limits(results: Mapping[str, Any]) -> list[str]:
    """Return the limits as sentences, the gravest kinds first."""
    parts = (_setting, _tests, _sites, _parts_of_patients, _calibration, _rounds)
    return [text for part in parts for text in part(results)]


def _setting(results: Mapping[str, Any]) -> Iterator[str]:
    runtime = find(results, "execution", "runtime")
    if runtime is not None and runtime != REAL:
        yield "Simulated: the rows of all hospitals lay on one machine, and nothing went over a network."
    if find(results, "study", "simulation", "attack") is not None:
        yield "Some of the hospitals were made to attack the run, by the study's own wish."
    if find(results, "study", "simulation", "canaries") is not None:
        yield "Made-up rows were planted among the training rows, by the study's own wish."
    yield "Every hospital that was tested at took part in training: how it does at another one is not known."
    if not privacy.has_privacy(results):
        yield "No privacy mechanism: what an update or the adapter reveals of a patient has no bound."


def _tests(results: Mapping[str, Any]) -> Iterator[str]:
    if not section(results, "comparison"):
        yield "Test rows were not compared: there is no other model to judge this one by."
        return
    if seed_count(results) == 1:
        yield "One split of the patients and one seed: another split may give other numbers."
    lead, sites = lead_of(results), section(results, "comparison", "federated", "sites")
    found = {site: estimate(sites, site, lead.name) for site in sites}
    few = {site: each.n for site, each in found.items() if each.n is not None and each.n < FEW_TEST_ROWS}
    if few:
        listed = joined([f"{site} ({n})" for site, n in few.items()])
        yield f"Fewer than {FEW_TEST_ROWS} test rows, so that numbers of the hospital alone say little: {listed}."
    none = [f"{site} ({each.reason or 'no reason is recorded'})" for site, each in found.items() if each.value is None]
    if none:
        yield f"No {lead.label} could be measured at {joined(none, separator=';')}."


def _sites(results: Mapping[str, Any]) -> Iterator[str]:
    benefits = section(results, "comparison", "benefit")
    worse = [site for site in benefits if verdict(estimate(benefits, site)) == "worse"]
    if worse:
        yield f"Joining makes it worse, by an interval that excludes zero, for {joined(worse)}."
    unclear = [site for site in benefits if verdict(estimate(benefits, site)) == "unclear"]
    if unclear:
        yield f"Whether joining helps cannot be told, by the interval, for {joined(unclear)}."
    if section(results, "comparison") and not benefits:
        yield "No hospital trained a model of its own, so that whether joining helps is not known."
    tried = section(results, "contributions", "sites")
    harmful = [site for site in tried if verdict(estimate(tried, site, "mean", "difference")) == "worse"]
    if harmful:
        yield f"The mean over hospitals is better, by an interval that excludes zero, without {joined(harmful)}."
    if not section(results, "contributions"):
        yield "What each hospital adds was not tried; in a simulation, --contributions does."


def _parts_of_patients(results: Mapping[str, Any]) -> Iterator[str]:
    if not section(results, "cohort"):
        yield "The patients are not described: the study does not ask for it, or no hospital lets it out."
    if hidden := hidden_count(results):
        yield f"Of the description, {_counted_are(hidden, 'cell')} hidden, as being of few patients or telling of them."
    columns = examined(results)
    if not columns:
        yield "No subgroup was examined: how it does for women, men, the young or the old is not known."
        return
    yield f"Subgroups were examined by {joined(columns)}, by nothing else, and not by two at once."
    if hidden := hidden_subgroups(results):
        yield f"At single hospitals {_counted_are(hidden, 'subgroup')} hidden: of few patients, or telling of them."
    missing = _untold(results, "subgroups")
    if missing:
        yield f"Subgroups are not told of by {joined(missing)}."


def _counted_are(number: int, noun: str) -> str:
    return f"{counted(number, noun)} {'is' if number == 1 else 'are'}"


def _untold(results: Mapping[str, Any], part: str) -> Sequence[str]:
    told = section(results, part, "sites")
    return [site for site in site_names(results) if site not in told]


def _calibration(results: Mapping[str, Any]) -> Iterator[str]:
    found = section(results, "recalibration", "sites")
    wrong = badly_calibrated(results)
    if wrong:
        yield f"Probabilities do not fit, by an interval of the slope that excludes 1, at {joined(wrong)}."
    without = [site for site in found if find(found, site, "reason")]
    if without:
        yield f"No map of probabilities could be fitted at {joined(without)}."
    if not found:
        yield "Whether probabilities fit each hospital, and could be made to, was not examined."


def _rounds(results: Mapping[str, Any]) -> Iterator[str]:
    if results.get("stopped_early"):
        yield f"The rounds ended early: {results['stopped_early']}."
    lost = {
        str(site)
        for entry in rounds_of(results)
        for site, reply in section(entry, "participation").items()
        if find(reply, "status") != "accepted"
    }
    if lost:
        yield f"Not every round has an update of {joined(sorted(lost))}."
    if find(results, "parameters", "aggregates_linearly") is False and len(site_names(results)) > 1:
        yield "The average of the adapters is not exactly that of the models that they make."
