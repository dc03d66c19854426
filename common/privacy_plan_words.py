"""A plan for patient-level privacy in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from common.privacy._meaning import odds_factor, posterior
from common.privacy_plan import HOPELESS, Plan, Wish, epsilon_with_hope, together, verdict_on

HEADER: Final = ("patients", "sampled", "steps", "noise", "a step", "a run", "found", "verdict")
"""`noise` is the noise multiplier, `a step` and `a run` are its length over that of the largest signal."""


def row_of(plan: Plan) -> tuple[str, ...]:
    """Return one hospital's line of the table under `HEADER`."""
    return (
        str(plan.patients),
        f"{plan.sampling_probability:.3g}",
        str(plan.steps),
        rounded_up(plan.noise_multiplier),
        f"{plan.noise_to_signal_step:.3g}",
        f"{plan.noise_to_signal:.3g}",
        percent(plan.true_positive_rate),
        plan.verdict,
    )


def rounded_up(noise: float) -> str:
    """Return a noise multiplier with four digits, never too little.

    >>> rounded_up(0.85802), rounded_up(12.34), rounded_up(2.0)
    ('0.8581', '12.34', '2')
    """
    digits = 3 - math.floor(math.log10(noise))
    return f"{math.ceil(round(noise * 10**digits, 6)) / 10**digits:.4g}"


def percent(share: float) -> str:
    """Return a share in per cent.

    >>> percent(0.99967), percent(0.161)
    ('99.97 %', '16.1 %')
    """
    return f"{100 * share:.4g} %" if share > 0.99 else f"{100 * share:.3g} %"


def times(factor: float) -> str:
    """Return how many times, without a false precision.

    >>> times(2980.96), times(2.718)
    ('2,981', '2.72')
    """
    return f"{factor:,.0f}" if factor >= 100 else f"{factor:.3g}"


def said_of(plans: Sequence[Plan], wish: Wish) -> Iterator[str]:
    """Yield what one should know of these plans, a sentence or two each."""
    if len(plans) == 1:
        yield from _said_of_one(plans[0], wish)
    else:
        yield from _said_of_table(wish)
    yield from _meaning(plans, wish)
    yield from _counted(wish)
    yield from _of_delta(plans, wish)
    yield from _hope(plans, wish)


def _said_of_one(plan: Plan, wish: Wish) -> Iterator[str]:
    yield (
        f"each of {plan.patients:,} patients is in a step with probability {plan.sampling_probability:.3g} "
        f"({plan.patients_per_step:g} expected); {plan.steps_per_round} steps a round, {plan.steps} in a run"
    )
    yield (
        f"noise multiplier {rounded_up(plan.noise_multiplier)}, which spends epsilon {plan.epsilon:.3g} at delta "
        f"{wish.delta:g} by {wish.accountant}"
    )
    yield (
        f"each number of a step's mean gradient gets noise of standard deviation {plan.noise_per_number:.3g} x the "
        f"clip norm; over {wish.parameters:,} numbers that is {plan.noise_to_signal_step:.3g} times the longest mean "
        f"gradient there can be, and {plan.noise_to_signal:.3g} times over a run, where noise partly cancels"
    )


def _said_of_table(wish: Wish) -> Iterator[str]:
    yield (
        "sampled: a patient's chance to be in a step; noise: the noise multiplier; a step, a run: length of the "
        f"noise over {wish.parameters:,} numbers against the most that patients can say in it; "
        "found: patients that the best attack finds with 1 % false alarms"
    )


def _meaning(plans: Sequence[Plan], wish: Wish) -> Iterator[str]:
    yield (
        f"epsilon {wish.epsilon:g}: who sees all that leaves, and knows all but whether a patient took part, can "
        f"raise the odds of it {times(odds_factor(wish.epsilon))} times, a suspicion of 50 % to "
        f"{percent(posterior(wish.epsilon, prior=0.5))}, but for a chance of about {wish.delta:g}"
    )
    worst = max(plan.true_positive_rate for plan in plans)
    yield (
        f"an attack that is wrong about 1 % of those who did not take part finds at most {percent(worst)} of those who "
        f"did (by this noise; by epsilon and delta alone {percent(plans[0].promised_true_positive_rate)})"
    )


def _counted(wish: Wish) -> Iterator[str]:
    if wish.runs > 1:
        yield f"all {wish.runs} runs over the same patients count: {wish.runs} times the steps, each with this noise"
    else:
        yield "one run counts: a search for hyper-parameters on the same patients spends too (--runs)"


def _of_delta(plans: Sequence[Plan], wish: Wish) -> Iterator[str]:
    small = [f"{plan.patients:,}" for plan in plans if wish.delta * plan.patients >= 1]
    if small:
        yield (
            f"warning: delta {wish.delta:g} is not below 1 / patients for {', '.join(small)} patients, so that giving "
            "a random patient's record away would be allowed; take a smaller --delta"
        )


def _hope(plans: Sequence[Plan], wish: Wish) -> Iterator[str]:
    ratio = together(plans)
    if len(plans) > 1:
        yield f"together, as a mean weighted by patients, noise to signal is {ratio:.3g}: {verdict_on(ratio)}"
    yield {
        "workable": "workable: the noise of a run is well below the most that patients can say",
        "doubtful": "doubtful: patients never agree that well, so a run may be mostly noise; simulate it first",
        "hopeless": "hopeless: even if all patients agreed in every step, the noise of a run would outweigh them",
    }[verdict_on(ratio)]
    if ratio >= HOPELESS:
        yield _help(plans, wish, ratio)


def _help(plans: Sequence[Plan], wish: Wish, ratio: float) -> str:
    largest = max(plans, key=lambda plan: plan.patients)
    ways = [
        f"about {ratio:.2g} times the patients",
        f"{int(wish.parameters / ratio**2):,} trained numbers instead of {wish.parameters:,}",
    ]
    if len(plans) == 1:
        ways += [f"epsilon {epsilon_with_hope(largest, wish):.2g}", f"the mean of {math.ceil(ratio**2)} such hospitals"]
    if wish.runs > 1:
        ways.append("fewer runs")
    return (
        f"to be no more than doubtful it takes {', or '.join(ways)}; fewer rounds make a step less noisy, not the whole"
    )
