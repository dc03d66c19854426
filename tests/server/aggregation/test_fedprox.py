import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import StudyError
from common.foreseen import foreseen
from common.plugins import build
from common.protocol import RoundPlan
from common.state import AdapterSchema
from common.study import AggregationSection
from server.aggregation import ClientUpdate
from server.aggregation.fedavg import FedAvg
from server.aggregation.fedprox import FedProx

SCHEMA = AdapterSchema.of({"x": np.zeros(2, np.float32)})


@pytest.mark.parametrize("options", [{}, {"proximal_mu": 0.3}, {"proximal_mu": 0.0}])
def test_the_plan_carries_mu_and_sites_expect_it(options: dict[str, float]) -> None:
    plan = build("server.aggregation", "fedprox", options, key="aggregation.name").plan(4, {}, "a", SCHEMA)
    assert plan == RoundPlan(proximal_mu=options.get("proximal_mu", 0.01))
    declared = foreseen(AggregationSection.model_validate({"name": "fedprox", **options}), 4, "a")
    assert declared.allows(plan, SCHEMA)
    assert not declared.allows(RoundPlan(proximal_mu=plan.proximal_mu + 0.1), SCHEMA)


def test_a_mu_that_no_site_accepts_is_refused_with_the_study() -> None:
    with pytest.raises(StudyError, match="option proximal_mu: Input should be less than or equal to 1000"):
        build("server.aggregation", "fedprox", {"proximal_mu": 1001.0}, key="aggregation.name")


@given(seed=st.integers(0, 2**32 - 1))
def test_without_mu_it_is_fedavg(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = {"x": rng.normal(size=2).astype(np.float32)}
    updates = [ClientUpdate(f"s{i}", {"x": rng.normal(size=2).astype(np.float32)}, i, float(i)) for i in (1, 5)]
    prox, avg = FedProx(proximal_mu=0.0), FedAvg()
    assert prox.plan(1, {}, "a", SCHEMA) == avg.plan(1, {}, "a", SCHEMA)
    made = [s.step(state, s.combine(iter(updates), state), {})[0]["x"] for s in (prox, avg)]
    np.testing.assert_array_equal(*made)
