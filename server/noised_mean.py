"""The server's half of site-level privacy: the mean of clipped updates with noise, see `common.privacy.site_dp`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final  # JSON values

import numpy as np
from numpy.typing import NDArray

from common.privacy._noise import NoiseSource
from common.privacy.site_dp import SiteDP, SiteRule
from common.protecting import mechanism_of
from common.state import AdapterSchema, norm
from common.study import Study
from server.aggregation import ClientUpdate, Mean
from server.diagnostics import Diagnostics
from server.mean import weighted_sum

WITHHELD: Final = "it would be of single hospitals' updates, without noise, and privacy.mechanism hides these"


def rule_of(study: Study, sites: int) -> SiteRule | None:
    """Return what the server does with the updates of so many sites; None where it takes them as they come."""
    mechanism = mechanism_of(study)
    return mechanism.rule(study, sites=sites) if isinstance(mechanism, SiteDP) else None


def noised_mean(updates: Iterable[ClientUpdate], rule: SiteRule, asked: AdapterSchema, noise: NoiseSource) -> Mean:
    """Return the clipped, weighted and noised mean of a round.

    asked: the tensors that any site of the cohort was asked for. Each gets noise, also one that nobody sent: who did
    not answer is not to be told from the adapter. What sites sent beside their updates is left out.
    """
    bare = (replace(client, weight=_weight(client, rule), extra={}) for client in updates)
    mean = weighted_sum(bare, divisor=rule.divisor)
    return replace(mean, update=dict(_noised(mean, rule, asked, noise)))


def _weight(client: ClientUpdate, rule: SiteRule) -> float:
    return rule.weight(examples=client.examples, norm=norm(client.update))


def _noised(
    mean: Mean, rule: SiteRule, asked: AdapterSchema, noise: NoiseSource
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for spec in sorted(asked.tensors, key=lambda spec: spec.name):
        added = rule.noise_std * noise(spec.size).reshape(spec.shape)
        yield spec.name, mean.update[spec.name] + added if spec.name in mean.update else added


def noise_figures(rule: SiteRule | None, mean: Mean) -> dict[str, float]:
    """Return the length of a noised mean and the length that its noise is expected to have; nothing without noise.

    Both are told from what is released: a figure of the mean before the noise, or of this very noise, is not.
    """
    if rule is None:
        return {}
    size = sum(array.size for array in mean.update.values())
    return {"noised_norm": norm(mean.update), "noise_norm": rule.noise_norm(size)}


def withheld() -> dict[str, Any]:
    """Return the diagnostics of a round whose updates are not to be told of, as `results.json` has them."""
    figures = ("aggregation_error", "effective_rank", "drift", "pairwise_cosine", "cosines", "update_norms")
    none = Diagnostics(None, None, None, None, {}, dict.fromkeys(figures, WITHHELD))
    return {"update_norms": {}, **none.to_json()}
