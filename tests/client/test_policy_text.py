import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.policy import Policy, read_policy
from client.policy_text import policy_text, toml_value
from common.metrics.evaluation import METRICS

BOUNDS = st.integers(min_value=1, max_value=2**62)
POLICIES = st.builds(
    Policy,
    methods=st.lists(st.sampled_from(["lora", "prefix", "full"])),
    tensors=st.lists(st.text(st.characters(blacklist_categories=["Cs"]), max_size=9)),
    max_update_bytes=BOUNDS,
    max_study_bytes=BOUNDS,
    max_update_norm=st.none() | st.floats(min_value=1e-9, max_value=1e30),
    minimum_patients=st.integers(0, 99),
    minimum_class_patients=st.integers(0, 99),
    metrics=st.lists(st.sampled_from(METRICS)),
    release_histograms=st.booleans(),
    hours=st.lists(st.sampled_from(["Mo-Fr 20:00-06:00", "Sa 00:00-24:00"])),
    runs=BOUNDS,
    privacy_epsilon=st.floats(min_value=1e-9, max_value=1e30),
    privacy_delta=st.floats(min_value=1e-300, max_value=1, exclude_max=True),
    require_privacy=st.booleans(),
    count_step=BOUNDS,
    exact_metrics=st.booleans(),
    adopt_max_loss=st.floats(min_value=0, max_value=1e30),
)


@given(POLICIES)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, policy: Policy) -> None:
    path = tmp_path_factory.getbasetemp() / "policy.toml"
    path.write_text(policy_text(policy), encoding="utf-8")
    assert read_policy(path) == policy


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_text_is_a_toml_value(text: str) -> None:
    assert tomllib.loads(f"x = {toml_value(text)}") == {"x": text}


def test_every_rule_has_a_comment_and_can_be_switched_on(tmp_path: Path) -> None:
    text = policy_text(Policy())
    for name in Policy.model_fields:
        before = text.split(f"{name} = ")[0].rstrip("# \n").splitlines()[-1]
        assert before.startswith("# ")
    (tmp_path / "policy.toml").write_text(text.replace("# max_update_norm", "max_update_norm"))
    assert read_policy(tmp_path / "policy.toml").max_update_norm == 1.0
