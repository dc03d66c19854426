import pytest

from server.dashboard.scores import POOLED, scores_of

AUROC = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 12}
ONE_CLASS = {"value": None, "low": None, "high": None, "n": 3, "reason": "one class only"}


def test_every_number_comes_back() -> None:
    found = scores_of({"sites": {"east": {"auroc": AUROC}, "west": {"auroc": ONE_CLASS}}, "pooled": {"auroc": AUROC}})
    assert found is not None
    assert found.at("east", "auroc") == (0.8, 0.7, 0.9)
    assert found.at(POOLED, "auroc") == (0.8, 0.7, 0.9)
    assert found.at("west", "auroc") == (None, None, None)


@pytest.mark.parametrize(("scope", "metric"), [("north", "auroc"), ("east", "brier")])
def test_what_is_not_there_is_absent(scope: str, metric: str) -> None:
    found = scores_of({"sites": {"east": {"auroc": AUROC}}, "pooled": {}})
    assert found is not None
    assert found.at(scope, metric) == (None, None, None)


def test_a_round_without_scores_has_none() -> None:
    assert scores_of(None) is None


def test_a_whole_number_and_what_is_no_number() -> None:
    found = scores_of({"sites": {}, "pooled": {"auroc": {"value": 1, "low": "x", "high": True}}})
    assert found is not None
    assert found.at(POOLED, "auroc") == (1.0, None, None)
