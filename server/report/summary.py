"""The report's first paragraph: sentences that claim no more than the intervals allow.

`better` and `worse` need an interval of the difference that excludes zero. Where only two separate intervals are at
hand, they must not overlap, which is stricter. Numbers without an interval are described, not judged.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any  # results are JSON

from server.report.formats import count, counted, joined, percent, plain, signed, signed_interval, size, worded
from server.report.lead import AUROC, Lead, lead_of
from server.report.values import Estimate, estimate, find, number, rounds_of, section, seed_count, site_names
from server.report.values import verdict as judge

MOST_NUMBERS = 12
RIVALS = ("local", "central", "logistic", "over_seeds")
BENEFIT_WORDS = {
    "better": "joining is better for",
    "worse": "joining is worse for",
    "unclear": "there is no clear difference for",
    "unknown": "no difference could be measured for",
}


def summary(results: Mapping[str, Any]) -> list[str]:
    """Return the sentences of the first paragraph: the answer first, then what was done and at what cost."""
    sentences = [*_comparison_sentences(results), training_sentence(results)]
    up, full = number(results, "bytes", "up_per_site_round"), number(results, "bytes", "full_model")
    sentences += [upload_sentence(up, full), participation_sentence(rounds_of(results))]
    sentences += [approximation_sentence(results)]
    return [sentence for sentence in sentences if sentence]


def training_sentence(results: Mapping[str, Any]) -> str:
    """Say who trained what, for how long."""
    sites, trained = len(site_names(results)), number(results, "parameters", "trainable")
    method = find(results, "study", "peft", "method") or "adapter"
    who = "1 hospital" if sites == 1 else f"{sites} hospitals together"
    start = f"{who} fine-tuned a frozen base model with {method} in {counted(len(rounds_of(results)), 'round')}"
    if trained is None:
        return start + "."
    total, fraction = number(results, "parameters", "total"), number(results, "parameters", "fraction")
    share = "" if total is None or fraction is None else f" of {count(total)} ({percent(fraction)})"
    return f"{start}, training {count(trained)} parameters{share}."


def approximation_sentence(results: Mapping[str, Any]) -> str:
    """Warn where what becomes of the hospitals' adapters is not the mean of their models; of one hospital it is."""
    if find(results, "parameters", "aggregates_linearly") is not False or len(site_names(results)) < 2:
        return ""
    method = find(results, "study", "peft", "method") or "adapter"
    strategy = find(results, "study", "aggregation", "name") or "the strategy"
    return (
        f"Caution: what {strategy} makes of {method} tensors only approximates the mean of the hospitals' models, "
        "the more roughly the further these are apart."
    )


def _comparison_sentences(results: Mapping[str, Any]) -> list[str]:
    comparison, lead = section(results, "comparison"), lead_of(results)
    if not comparison:
        return [no_comparison_sentence(results)]
    if not any(section(comparison, rival) for rival in RIVALS):
        return [alone_sentence(comparison, lead)]
    sources = _sources(comparison)
    benefits = {site: estimate(comparison, "benefit", site) for site in site_names(results)}
    return [
        average_sentence(
            *_same_scope(sources, ("federated",), ("local",), ("mean",), lead)[1:],
            estimate(comparison, "over_seeds", "federated_minus_local", "mean", lead.name),
            seeds=seed_count(results),
            lead=lead,
        ),
        benefit_sentence(benefits, lead) if section(comparison, "benefit") else "",
        central_sentence(
            sources, estimate(comparison, "over_seeds", "federated_minus_central", "pooled", lead.name), lead
        ),
        *logistic_sentences(sources, lead),
    ]


def _sources(comparison: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return where to look for levels: over seeds first. Two levels are compared only within one source."""
    return [section(comparison, "over_seeds"), comparison]


def no_comparison_sentence(results: Mapping[str, Any]) -> str:
    """Say that nothing was compared, and what is known from validation rows."""
    text, lead = "Nothing was compared, so whether joining helps is not known from this run.", lead_of(results)
    last = next((e for e in reversed(_pooled_validation(results, lead)) if e.value is not None), None)
    if last is None:
        return text
    initial = estimate(results, "initial", "validation", "pooled", lead.name).value
    start = "" if initial is None else f", from {plain(initial)} before the first round"
    return f"{text} On pooled validation rows the {lead.label} came to {plain(last.value)}{start}."


def alone_sentence(comparison: Mapping[str, Any], lead: Lead = AUROC) -> str:
    """Say how the joint model did on test rows, where no other was trained: a run of real sites."""
    unknown = "No hospital trained a model of its own, so whether joining helps is not known from this run."
    sites = section(comparison, "federated", "sites")
    values = [found.value for site in sites if (found := estimate(sites, site, lead.name)).value is not None]
    mean = estimate(comparison, "federated", "mean", lead.name).value
    if mean is None:
        return unknown
    span = f" ({plain(min(values))} to {plain(max(values))})" if len(values) > 1 else ""
    return f"The joint model's {lead.label} on test rows, averaged over hospitals, is {plain(mean)}{span}. {unknown}"


def _pooled_validation(results: Mapping[str, Any], lead: Lead) -> list[Estimate]:
    return [estimate(entry, "validation", "pooled", lead.name) for entry in rounds_of(results)]


def average_sentence(
    federated: Estimate, local: Estimate, difference: Estimate, *, seeds: int, lead: Lead = AUROC
) -> str:
    """Compare the joint model with the hospitals' own models, averaged over hospitals."""
    if federated.value is None or local.value is None:
        return "The average over hospitals could not be compared with that of the hospitals' own models."
    gap = difference.value if difference.value is not None else federated.value - local.value
    levels = f"test {lead.label} {plain(federated.value)} against {plain(local.value)} ({signed(gap)}"
    bounds = signed_interval(difference)
    if not bounds:
        return (
            f"Averaged over hospitals, joint model against the hospitals' own models: {levels}; one split of the rows, "
            "no interval, so no proof either way)."
        )
    start = {
        "better": "the joint model is better than the hospitals' own models",
        "worse": "the joint model is worse than the hospitals' own models",
    }.get(
        lead.verdict(difference), "there is no clear difference between the joint model and the hospitals' own models"
    )
    over = f"95 % interval {bounds} over {counted(seeds, 'split')} of the same patients"
    return f"Averaged over hospitals, {start}: {levels}; {over})."


def benefit_sentence(benefits: Mapping[str, Estimate], lead: Lead = AUROC) -> str:
    """Say for each hospital, by name, whether the joint model did better on its own test rows than its own model.

    Beyond MOST_NUMBERS hospitals the names stand without their numbers, which the report's table has.
    """
    with_numbers = len(benefits) <= MOST_NUMBERS
    groups: dict[str, list[str]] = {"better": [], "worse": [], "unclear": [], "unknown": []}
    for site, benefit in benefits.items():
        groups[judge(benefit)].append(_benefit_phrase(site, benefit) if with_numbers else site)
    parts = [f"{BENEFIT_WORDS[group]} {joined(members)}" for group, members in groups.items() if members]
    if not parts:
        return ""
    values = f"{lead.benefit}, 95 % interval" if with_numbers else "judged by the 95 % interval"
    return f"On each hospital's own test rows ({values}): {'; '.join(parts)}."


def _benefit_phrase(site: str, benefit: Estimate) -> str:
    if benefit.value is None:
        return site if benefit.reason is None else f"{site} ({worded(benefit.reason)})"
    rows = "" if benefit.n is None else f" at n = {count(benefit.n)}"
    return f"{site} ({signed(benefit.value)}, {signed_interval(benefit) or 'no interval'}{rows})"


def central_sentence(sources: Sequence[Mapping[str, Any]], difference: Estimate, lead: Lead = AUROC) -> str:
    """Say how far the joint model is from one trained on all rows in one place."""
    scope, federated, central = _same_scope(sources, ("federated",), ("central",), ("pooled", "mean"), lead)
    if federated.value is None or central.value is None:
        return ""
    has_interval = scope == "pooled" and signed_interval(difference)
    gap = difference.value if has_interval else federated.value - central.value
    start = (
        f"Training on all rows in one place gives a {scope} {lead.label} of {plain(central.value)}, "
        f"the joint model {plain(federated.value)} ({signed(gap)}"
    )
    if not has_interval:
        return f"{start}; {_overlap_words(federated, central)})."
    words = {"better": "the joint model is better", "worse": "the joint model is worse"}
    word = words.get(lead.verdict(difference), "no clear difference")
    return f"{start}; {word}, 95 % interval of the difference {signed_interval(difference)})."


def logistic_sentences(sources: Sequence[Mapping[str, Any]], lead: Lead = AUROC) -> list[str]:
    """Compare logistic regression, fitted on all rows and by each hospital alone, with the joint model."""
    sentences = [
        _logistic_sentence(sources, "central", "on all rows in one place", ("pooled", "mean"), lead),
        _logistic_sentence(sources, "local", "by each hospital alone", ("mean",), lead),
    ]
    return [sentence for sentence in sentences if sentence]


def _logistic_sentence(
    sources: Sequence[Mapping[str, Any]], kind: str, words: str, scopes: Sequence[str], lead: Lead
) -> str:
    scope, federated, logistic = _same_scope(sources, ("federated",), ("logistic", kind), scopes, lead)
    if federated.value is None or logistic.value is None:
        return ""
    at_least = lead.at_least(logistic.value, federated.value)
    start = f"Logistic regression fitted {words} scores {'as high or higher' if at_least else 'lower'}"
    levels = f"{scope} {lead.label} {plain(logistic.value)}, the joint model {plain(federated.value)}"
    return f"{start}: {levels} ({_overlap_words(federated, logistic)})."


def _same_scope(
    sources: Sequence[Mapping[str, Any]], left: Sequence[str], right: Sequence[str], scopes: Sequence[str], lead: Lead
) -> tuple[str, Estimate, Estimate]:
    """Return both estimates from the first scope and source that has both, and the scope's name."""
    for scope in scopes:
        for source in sources:
            both = (estimate(source, *left, scope, lead.name), estimate(source, *right, scope, lead.name))
            if both[0].value is not None and both[1].value is not None:
                return scope, *both
    return scopes[-1], Estimate(), Estimate()


def _overlap_words(left: Estimate, right: Estimate) -> str:
    if left.low is None or left.high is None or right.low is None or right.high is None:
        return "without an interval"
    if left.low > right.high or left.high < right.low:
        return "the intervals do not overlap"
    return "the intervals overlap, no clear difference"


def upload_sentence(up: float | None, full: float | None) -> str:
    """Say how much left each hospital per round, against the whole model."""
    if up is None:
        return ""
    start = f"Each hospital sent {size(up)} per round"
    if not full or not up:
        return start + "."
    return f"{start}; the full model would be {size(full)}, {count(full / up)} times as much."


def participation_sentence(entries: Sequence[Mapping[str, Any]]) -> str:
    """Say whether all hospitals asked took part in all rounds, and name those that did not."""
    missing: Counter[tuple[str, str]] = Counter()
    asked = 0
    for entry in entries:
        for site, reply in section(entry, "participation").items():
            asked += 1
            missing[site, str(find(reply, "status"))] += 1
    lost = {key: times for key, times in missing.items() if key[1] != "accepted"}
    if not asked:
        return ""
    if not lost:
        return "Every hospital's update was accepted in every round."
    parts = [f"{site} {status} in {counted(times, 'round')}" for (site, status), times in sorted(lost.items())]
    return f"Of {counted(asked, 'possible update')}, {asked - sum(lost.values())} were accepted: {joined(parts)}."
