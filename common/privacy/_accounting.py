"""What (epsilon, delta) a sequence of Gaussian mechanisms over Poisson samples adds up to.

By Google's dp-accounting: `pld` composes privacy loss distributions (Doroshenko et al. 2022,
https://arxiv.org/abs/2207.04380; Opacus calls the same PRV), `rdp` Renyi bounds (Mironov et al. 2019,
https://arxiv.org/abs/1908.10530), which is looser. Both are upper bounds for neighbours that differ by one unit, there
or not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Accountant = Literal["pld", "rdp"]


@dataclass(frozen=True)
class Spending:
    """Steps of a Gaussian mechanism of sensitivity 1, each over a Poisson sample of the units.

    noise_multiplier: standard deviation of the noise over the sensitivity, above 0. sampling_probability: of each unit,
    in (0, 1]. steps: from 0.
    """

    noise_multiplier: float
    sampling_probability: float
    steps: int


def epsilon_of(spendings: Iterable[Spending], *, delta: float, accountant: Accountant = "pld") -> float:
    """Return epsilon at `delta` of all these together; 0 for none."""
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    found = PLDAccountant() if accountant == "pld" else RdpAccountant()
    steps = 0
    for each in spendings:
        noise = dp_event.GaussianDpEvent(each.noise_multiplier)
        sampled = dp_event.PoissonSampledDpEvent(each.sampling_probability, noise)
        found.compose(dp_event.SelfComposedDpEvent(sampled, each.steps))
        steps += each.steps
    return float(found.get_epsilon(delta)) if steps else 0.0
