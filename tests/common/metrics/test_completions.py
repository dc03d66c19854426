"""Perplexity and what goes with it, by hand."""

import numpy as np
import pytest

from common.metrics.completions import MEASURE


def test_perplexity_is_of_all_tokens_and_undefined_beyond_what_a_number_holds() -> None:
    """Rows of 1 and 3 tokens with 2 and 0 nats: exp(2 / 4) over tokens, mean loss (2 + 0) / 2 over rows."""
    rows = np.array([[1, 1, 2.0, 0, 0, 2.0], [1, 3, 0.0, 3, 1, 0.0]])
    found = MEASURE.evaluate(rows, np.empty(0), ["a", "b"], resamples=0, rng=np.random.default_rng()).metrics
    values = {name: metric.value for name, metric in found.items()}
    assert values == pytest.approx({"perplexity": np.exp(0.5), "token_accuracy": 0.75, "exact_match": 0.5, "loss": 1.0})
    rows[0, 2] = 1e6
    found = MEASURE.evaluate(rows, np.empty(0), ["a", "b"], resamples=0, rng=np.random.default_rng()).metrics
    assert (found["perplexity"].value, found["perplexity"].reason) == (None, "no tokens, or too large to be said")
    assert found["token_accuracy"].value == 0.75
