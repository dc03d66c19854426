"""Metrics of written text: how probable the tokens of the true completions are, and how often the likeliest is right.

Perplexity is exp of the mean negative log-likelihood of a token (Jelinek et al. 1977,
https://doi.org/10.1121/1.2016299): over all tokens, so that long completions count for more. It depends on the
tokenizer: those of two base models do not compare.
"""

import math
from typing import Final

import numpy as np

from common.metrics.measure import MetricInfo
from common.metrics.sums import ROW_LOSS, SumMeasure, SumMetric, ratio
from common.metrics.types import Floats

INFOS: Final = (
    MetricInfo(
        "perplexity",
        "Perplexity",
        "Perplexity says among how many equally likely tokens the model hesitates at each step of the true completion: "
        "1 is perfect.",
        higher_is_better=False,
        low=1.0,
        high=math.inf,
    ),
    MetricInfo("token_accuracy", "Token accuracy", "Share of tokens that are the likeliest, given those before."),
    MetricInfo("exact_match", "Exact match", "Share of rows whose every token is the likeliest, given those before."),
    ROW_LOSS,
)
LARGEST_LOSS: Final = 700.0
"""Nats per token; exp of more is no number."""


def perplexity(sums: Floats) -> Floats:
    """Return exp(nll / tokens) of sums (rows, tokens, nll, ...); NaN without tokens, or beyond what a number can hold.

    >>> float(perplexity(np.array([1.0, 2.0, 2 * np.log(4)])).round(9))
    4.0
    """
    tokens, nll = sums[..., 1], sums[..., 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(tokens > 0, nll / tokens, np.nan)
    return np.exp(np.where(mean <= LARGEST_LOSS, mean, np.nan))


MEASURE: Final = SumMeasure(
    columns=("rows", "tokens", "nll", "right_tokens", "right_rows", "row_loss"),
    metrics=(
        SumMetric(INFOS[0], perplexity, undefined="no tokens, or too large to be said"),
        SumMetric(INFOS[1], ratio(3, 1)),
        SumMetric(INFOS[2], ratio(4, 0), row_mean=True),
        SumMetric(INFOS[3], ratio(5, 0), row_mean=True),
    ),
    choosing=("perplexity", "loss"),
    tuning="loss",
)
