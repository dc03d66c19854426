"""What a run's privacy guarantee says and costs, in plain sentences, by whom it is of."""

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any, Final  # results are JSON

from server.report.formats import DASH, count, counted, percent
from server.report.layout import Cell, Table, table
from server.report.values import number, rounds_of, section

NO_GUARANTEE: Final = (
    "No formal privacy guarantee is given: no noise was added and no privacy budget was accounted. Rows stay at the "
    "hospitals and only adapter updates leave, but that alone is not privacy: an update can reveal things about the "
    "rows that made it."
)
SITE_LIMITS: Final = (
    "This holds for who sees the adapter and nothing else. The coordinator's server saw every hospital's update and is "
    "trusted with it, and the losses, metrics and example counts of these results carry no noise. A single patient is "
    "hidden only along with the hospital."
)
PATIENT_LIMITS: Final = (
    "Neighbours differ by one patient with all rows, there or not there. How many patients a hospital has is taken as "
    "known, and how long a round takes is not covered. Metrics of a simulation are exact, for its user's eyes; at a "
    "real hospital none leaves unless its policy says so, and then outside of this promise. Choosing settings on the "
    "same patients spends besides: what was tried before this run is not in its figures."
)
WEAK: Final = 10.0
"""From this epsilon on the odds may change more than twenty thousand times: no protection to speak of."""


def has_privacy(results: Mapping[str, Any]) -> bool:
    """Whether the run recorded a privacy mechanism other than `none`."""
    privacy = section(results, "privacy")
    return bool(privacy) and privacy.get("mechanism") != "none"


def sentences(results: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is promised, to whom, and at what cost; empty where only the recorded facts can speak."""
    if not has_privacy(results):
        return (NO_GUARANTEE,)
    if section(results, "privacy").get("unit") == "site":
        return (site_promise(results), SITE_LIMITS, *site_cost(results))
    if section(results, "privacy").get("unit") == "patient":
        return (*patient_promise(results), PATIENT_LIMITS, *patient_cost(results))
    return ()


def site_promise(results: Mapping[str, Any]) -> str:
    """Say what epsilon and delta of whole hospitals mean."""
    epsilon, delta = number(results, "privacy", "epsilon"), number(results, "privacy", "delta")
    if epsilon is None or delta is None:
        return "Differential privacy of whole hospitals; what was spent is not recorded."
    rounds = counted(int(number(results, "privacy", "rounds") or 0), "round")
    start = f"Differential privacy of whole hospitals: epsilon {epsilon:.3g} at delta {delta:g}, after {rounds}."
    if epsilon >= WEAK:
        return f"{start} An epsilon of {WEAK:g} or more is a number, and protects next to nothing."
    return (
        f"{start} Whether a given hospital took part changes the odds of whatever the adapter may show by a factor of "
        f"at most {_factor(exp(epsilon))}, but for a chance of {delta:g}."
    )


def patient_promise(results: Mapping[str, Any]) -> list[str]:
    """Say what epsilon and delta of single patients mean, at the hospital that spent most where that is known."""
    privacy = section(results, "privacy")
    delta, rounds = number(privacy, "delta"), counted(int(number(privacy, "rounds") or 0), "round")
    spent = [number(section(privacy, "sites", site), "epsilon") for site in section(privacy, "sites")]
    known = [epsilon for epsilon in spent if epsilon is not None]
    epsilon = max(known) if known else number(privacy, "epsilon")
    if epsilon is None or delta is None:
        return [
            "Differential privacy of single patients, with the same noise at every hospital; what that comes to is in "
            "each hospital's own ledger."
        ]
    where = "at most, by the hospitals' ledgers" if known else "at most, at each hospital"
    return [
        f"Differential privacy of single patients: epsilon {epsilon:.3g} {where}, at delta {delta:g}, over {rounds}. "
        f"Whether a given patient's rows were in it changes the odds of whatever left by a factor of at most "
        f"{_factor(exp(epsilon))}, but for a chance of {delta:g}: whoever guesses, where both are as likely, is right "
        f"at most {percent(1 - (1 - delta) / (1 + exp(epsilon)))} of the time."
    ]


def patient_cost(results: Mapping[str, Any]) -> list[str]:
    """Say what each hospital's noise is against what all its patients can add, who needs most first."""
    sites = section(results, "privacy", "sites")
    found = []
    for site in sites:
        noise, share = number(sites, site, "noise_multiplier"), number(sites, site, "sampling_probability")
        patients = number(sites, site, "patients")
        if noise is not None and share is not None and patients:
            found.append((noise / (share * patients), site, int(patients)))
    found.sort(reverse=True)
    if not found:
        return []
    each = ", ".join(f"{site} ({counted(patients, 'patient')}) {ratio:.2g}" for ratio, site, patients in found)
    return [
        "In each step every number of a hospital's average gradient gets noise whose standard deviation is this share "
        f"of the longest that the whole average can be: {each}. Small hospitals pay above all."
    ]


def spent_table(results: Mapping[str, Any]) -> tuple[Table, ...]:
    """Show what each hospital added and spent, where the results know it."""
    sites = section(results, "privacy", "sites")
    columns = ("patients", "sampling_probability", "steps", "noise_multiplier", "epsilon")
    header = ("Hospital", "Patients", "Chance to be in a step", "Steps a round", "Noise multiplier", "Epsilon spent")
    rows = [[Cell(site), *(Cell(_short(number(sites, site, key))) for key in columns)] for site in sites]
    return (table("What each hospital spent of its patients", header, rows),) if rows else ()


def _short(value: float | None) -> str:
    return DASH if value is None else f"{value:.3g}"


def _factor(value: float) -> str:
    return count(value) if value >= 100 else f"{value:.3g}"


def site_cost(results: Mapping[str, Any]) -> list[str]:
    """Say how the noise compares with what was learned, in the lengths of this run."""
    clip, sites = number(results, "privacy", "clip_norm"), number(results, "privacy", "sites_per_round")
    share, noise = number(results, "privacy", "sensitivity"), number(results, "privacy", "noise_std")
    lengths = [number(entry, "diagnostics", "noise_norm") for entry in rounds_of(results)]
    longest = max((each for each in lengths if each is not None), default=None)
    if clip is None or sites is None or share is None or noise is None or longest is None:
        return []
    times = longest / (share * sites)
    start = (
        f"Each hospital's update was cut to a length of at most {clip:.3g}, so that one moves the average by at most "
        f"{share:.3g} and all together by at most {share * sites:.3g}; the noise added in a round, {noise:.3g} on each "
        f"number, has a length of about {longest:.3g}"
    )
    if times <= 1:
        return [f"{start}, {percent(times)} of that.", *_released(results)]
    return [f"{start}, {times:.3g} times as much.", *_released(results), _few(int(sites), times)]


def _released(results: Mapping[str, Any]) -> list[str]:
    """Compare the change that a round made with what noise alone would make."""
    last: Sequence[Any] = rounds_of(results)[-1:]
    found = [(number(e, "diagnostics", "noised_norm"), number(e, "diagnostics", "noise_norm")) for e in last]
    return [
        f"In the last round average and noise together were {noised:.3g} long; noise alone would have been about "
        f"{noise:.3g}."
        for noised, noise in found
        if noised is not None and noise is not None
    ]


def _few(sites: int, times: float) -> str:
    return (
        f"With {counted(sites, 'hospital')} in a round such an adapter is usually useless: each hospital is "
        f"{percent(1 / sites)} of the average, and to hide one is to hide as much of all that was learned. The noise "
        f"falls as their number grows: about {count(sites * times)} hospitals would be needed for noise no longer than "
        "the average may be. With few hospitals, hide patients and not hospitals."
    )
