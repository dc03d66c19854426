"""Where the joint model does worst: the hospital, and the subgroup, with the worst value of the leading metric."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any  # results are JSON

from server.report.formats import counted, interval, plain
from server.report.lead import Lead, lead_of
from server.report.values import Estimate, estimate, find, section

Place = tuple[str, str | None]
"""Name of a hospital or subgroup, and of the hospital that a subgroup is at, where it is of one alone."""
BY_CHANCE = "The worst of several is in part so by chance: its interval says how much."


@dataclass(frozen=True)
class Weakest:
    """The worst place, what it is measured against, and how much worse it is; gap is 0 or more.

    site: of a subgroup that no pooled metric exists of, the hospital that it is at.
    """

    name: str
    found: Estimate
    reference: float
    gap: float
    of: int
    site: str | None = None


def weakest_site(results: Mapping[str, Any]) -> Weakest | None:
    """Return the hospital with the worst leading metric of the joint model, against the mean over hospitals."""
    lead = lead_of(results)
    sites = section(results, "comparison", "federated", "sites")
    mean = estimate(results, "comparison", "federated", "mean", lead.name).value
    return _worst({(site, None): estimate(sites, site, lead.name) for site in sites}, mean, lead)


def weakest_subgroup(results: Mapping[str, Any]) -> Weakest | None:
    """Return the subgroup with the worst leading metric: over all hospitals where pooled, else at one of them."""
    lead = lead_of(results)
    pooled = section(results, "subgroups", "pooled")
    found: dict[Place, Estimate] = {(name, None): estimate(pooled, name, lead.name) for name in pooled}
    everyone = estimate(results, "comparison", "federated", "pooled", lead.name).value
    worst = _worst(found, everyone, lead)
    if worst is not None:
        return worst
    mean = estimate(results, "comparison", "federated", "mean", lead.name).value
    return _worst(dict(_at_sites(results, lead)), mean, lead)


def _at_sites(results: Mapping[str, Any], lead: Lead) -> Iterator[tuple[Place, Estimate]]:
    for site, levels in section(results, "subgroups", "sites").items():
        yield from (((name, site), estimate(levels, name, lead.name)) for name in levels)


def _worst(found: Mapping[Place, Estimate], reference: float | None, lead: Lead) -> Weakest | None:
    """A value alone is not the worst of anything."""
    known = {place: each.value for place, each in found.items() if each.value is not None}
    if len(known) < 2 or reference is None:
        return None
    name, site = (min if lead.higher_is_better else max)(known, key=lambda place: known[place])
    value = known[name, site]
    gap = reference - value if lead.higher_is_better else value - reference
    return Weakest(name, found[name, site], reference, max(0.0, gap), len(known), site)


def weakest_json(worst: Weakest | None) -> dict[str, Any] | None:
    """Return the value that scripts read."""
    if worst is None:
        return None
    found = {"value": worst.found.value, "low": worst.found.low, "high": worst.found.high, "n": worst.found.n}
    return {
        "name": worst.name,
        "site": worst.site,
        "metric": found,
        "reference": worst.reference,
        "gap": worst.gap,
        "of": worst.of,
    }


def sentences(results: Mapping[str, Any]) -> list[str]:
    """Say which hospital and which subgroup is the weakest, and by how much; nothing where nothing is compared."""
    lead, site, part = lead_of(results), weakest_site(results), weakest_subgroup(results)
    found = []
    if site is not None:
        found.append(
            f"Weakest of {counted(site.of, 'hospital')}: {site.name}, {_level(site, lead)}; the mean over hospitals is "
            f"{plain(site.reference)}, {plain(site.gap)} {_better(lead)}."
        )
    if part is not None:
        where, against = (f" at {part.site}", "the mean over hospitals") if part.site else ("", "over all test rows it")
        found.append(
            f"Weakest of {counted(part.of, 'subgroup')}: {part.name.replace('=', ': ')}{where}, {_level(part, lead)}; "
            f"{against} is {plain(part.reference)}."
        )
    return [*found, BY_CHANCE] if found else []


def _level(worst: Weakest, lead: Lead) -> str:
    bounds = interval(worst.found)
    rows = "" if worst.found.n is None else f", {counted(worst.found.n, 'test row')}"
    return f"{lead.label} {plain(worst.found.value)} ({bounds or 'no interval'}{rows})"


def _better(lead: Lead) -> str:
    return "higher" if lead.higher_is_better else "lower"


def examined(results: Mapping[str, Any]) -> list[str]:
    """Return the columns by which subgroups were examined."""
    return (
        [str(name) for name in find(results, "study", "evaluation", "subgroups") or ()]
        if section(results, "subgroups")
        else []
    )
