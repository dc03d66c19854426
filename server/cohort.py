"""Which sites take part in a round."""

from collections.abc import Iterable

from common.cohort_size import cohort_size
from common.seeds import generator


def draw_cohort(sites: Iterable[str], *, fraction: float, seed: int, round_number: int) -> tuple[str, ...]:
    """Return round(fraction * n) of the n sites, at least one, drawn without replacement and sorted by name.

    The draw is over sorted site names: Flower's node ids are random and must not touch a result.

    >>> draw_cohort(["c", "a", "b"], fraction=1.0, seed=0, round_number=1)
    ('a', 'b', 'c')
    """
    names = sorted(sites)
    size = cohort_size(len(names), fraction)
    if size == len(names):
        return tuple(names)
    rng = generator(seed, round_number=round_number, purpose="cohort")
    return tuple(names[i] for i in sorted(rng.choice(len(names), size=size, replace=False)))
