"""The parts of a noised mean that the mechanisms' contract does not see."""

import numpy as np
import pytest

from common.privacy.site_dp import SiteRule
from common.state import AdapterSchema
from server.aggregation import ClientUpdate
from server.noised_mean import noise_figures, noised_mean, withheld

RULE = SiteRule(clip_norm=2.0, noise_multiplier=0.5, divisor=4.0, delta=1e-5)
ASKED = AdapterSchema.of({"y": np.zeros((2, 1), np.float32), "x": np.zeros(3, np.float32)})


def counting(size: int) -> np.ndarray:
    return np.arange(size) + 1.0


def test_updates_are_clipped_over_all_tensors_together_and_paired_by_name() -> None:
    a = ClientUpdate("a", {"x": np.float32([3, 0, 0]), "y": np.float32([[0], [4]])}, 1, 1.0)  # of norm 5
    b = ClientUpdate("b", {"y": np.float32([[1], [0]]), "x": np.float32([0, 1, 0])}, 1, 1.0)  # within
    found = noised_mean([a, b], RULE, ASKED, np.zeros).update
    np.testing.assert_allclose(found["x"], np.array([3 * 2 / 5, 1, 0]) / 4)
    np.testing.assert_allclose(found["y"], np.array([[1], [4 * 2 / 5]]) / 4)


def test_a_tensor_that_nobody_sent_gets_noise_as_any_other() -> None:
    """Else its silence would tell that the one site that trains it was away."""
    a = ClientUpdate("a", {"x": np.float32([1, 0, 0])}, 1, 1.0, extra={"more": np.float32([9])})
    found = noised_mean([a], RULE, ASKED, counting)
    std = 0.5 * 2 / 4
    np.testing.assert_allclose(found.update["x"], np.array([1 / 4, 0, 0]) + std * np.array([1, 2, 3]))
    np.testing.assert_allclose(found.update["y"], std * np.array([[1], [2]]))
    assert list(found.update) == ["x", "y"]
    assert dict(found.extra) == {}


def test_figures_are_of_what_is_released() -> None:
    a = ClientUpdate("a", {"x": np.float32([1, 0, 0])}, 1, 1.0)
    found = noised_mean([a], RULE, ASKED, counting)
    assert noise_figures(RULE, found) == {
        "noised_norm": pytest.approx(np.linalg.norm([0.5, 0.5, 0.75, 0.25, 0.5])),
        "noise_norm": pytest.approx(0.25 * np.sqrt(5)),
    }
    assert noise_figures(None, found) == {}
    assert withheld()["aggregation_error"] is None
    assert "update_norms" in withheld()["reasons"]
