"""Learning-rate schedules over the whole study, not over one round."""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]


def progress(*, round_number: int, step: int, steps: int, rounds: int) -> float:
    """Return where in the study a step is, in [0, 1): (round - 1 + step/steps) / rounds. Rounds count from 1.

    >>> progress(round_number=3, step=5, steps=10, rounds=5)
    0.5
    """
    return (round_number - 1 + step / steps) / rounds


def factor(at: float, *, schedule: Schedule, warmup_fraction: float = 0.0) -> float:
    """Return what the learning rate is multiplied by at progress `at`: a linear warm-up, then the schedule down to 0.

    >>> factor(0.05, schedule="constant", warmup_fraction=0.1), factor(0.75, schedule="linear", warmup_fraction=0.5)
    (0.5, 0.5)
    """
    if at < warmup_fraction:
        return at / warmup_fraction
    if schedule == "constant":
        return 1.0
    left = (1.0 - at) / (1.0 - warmup_fraction)
    return left if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * (1.0 - left)))
