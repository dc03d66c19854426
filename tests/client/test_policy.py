"""A policy file says what may leave; a missing or broken one lets nothing out, and is told which key is wrong."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.approval import read_signed
from client.policy import Policy, objections, read_policy, reply_bytes, study_bytes
from common import plugins
from common.bundle import Bundle
from common.errors import UserError
from common.plugins import register_folder
from common.study import PeftSection

KEY = "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
OTHER = "ed25519:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
TRUSTING = Policy(coordinators=(KEY,))


def test_the_defaults_are_careful() -> None:
    policy = Policy()
    assert policy.coordinators == ()
    assert "full" not in policy.methods
    assert set(policy.methods) == set(plugins.available("common.peft_methods")) - {"full"}
    assert not policy.release_histograms
    assert (policy.minimum_patients, policy.minimum_class_patients, policy.runs) == (10, 5, 1)
    assert (policy.privacy_epsilon, policy.privacy_delta, policy.count_step) == (8.0, 1e-5, 10)
    assert not policy.require_privacy
    assert not policy.exact_metrics


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("release_histogram = true", r"release_histogram: unknown key; did you mean 'release_histograms'"),
        ("metrics = ['auc']", r"metrics: there is no metric 'auc'; there are: "),
        ("methods = ['lorra']", r"methods: there is no PEFT method 'lorra'; there are: .*lora"),
        ("coordinators = ['me']", r"coordinators: not a public signing key"),
        ("max_update_bytes = 0", r"max_update_bytes: .*found 0"),
        ("max_study_bytes = 0", r"max_study_bytes: .*found 0"),
        ("minimum_patients = -1", r"minimum_patients: .*found -1"),
        ("minimum_class_patients = -1", r"minimum_class_patients: .*found -1"),
        ("max_update_norm = nan", r"max_update_norm: "),
        ("runs = 0", r"runs: .*found 0"),
        ("privacy_epsilon = 0", r"privacy_epsilon: .*found 0"),
        ("privacy_epsilon = inf", r"privacy_epsilon: .*inf"),
        ("privacy_delta = 0", r"privacy_delta: .*found 0"),
        ("privacy_delta = 1", r"privacy_delta: .*found 1"),
        ("count_step = 0", r"count_step: .*found 0"),
        ("hours = ['always']", r"hours: 'always' is no time of work"),
        ("hours = ", r"is not TOML"),
    ],
)
def test_a_wrong_rule_is_named_in_one_line(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=found) as caught:
        read_policy(path)
    assert "\n" not in str(caught.value)
    assert "answers nothing" in str(caught.value)


@pytest.mark.parametrize("mode", [0o666, 0o602, 0o660])
def test_a_policy_that_others_may_change_is_none(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "policy.toml"
    path.touch()
    path.chmod(mode)
    with pytest.raises(UserError, match=rf"by others than its owner \(mode {mode:04o}\).*chmod go-w"):
        read_policy(path)
    path.chmod(0o644)
    assert read_policy(path) == Policy()


def test_no_file_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="answers nothing"):
        read_policy(tmp_path / "policy.toml")
    (tmp_path / "policy.toml").write_text("")
    assert read_policy(tmp_path / "policy.toml") == Policy()


def test_full_fine_tuning_must_be_named() -> None:
    assert Policy(methods=("full",)).methods == ("full",)


def objected(bundle: Bundle, *, site: str = "east", coordinator: str = KEY, **rules: Any) -> list[str]:
    policy = Policy(**{**TRUSTING.model_dump(), **rules})
    return objections(policy, bundle, site=site, coordinator=coordinator)


def test_each_rule_that_a_study_breaks_is_said(make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()
    size, whole = bundle.schema.shared.size_bytes, study_bytes(bundle, "east")
    assert whole > bundle.study.federation.rounds * size
    assert objected(bundle) == []
    assert objected(bundle, max_update_bytes=size, max_study_bytes=whole) == []
    broken = {
        "coordinator": objected(bundle, coordinator=OTHER),
        "roster": objected(bundle, site="south"),
        "lora": objected(bundle, methods=("prefix",)),
        "head.bias": objected(bundle, tensors=("encoder.*",)),
        f"{size} bytes of tensors": objected(bundle, max_update_bytes=size - 1),
        f"{whole} bytes": objected(bundle, max_study_bytes=whole - 1),
    }
    for word, found in broken.items():
        (only,) = found
        assert word in only


@pytest.fixture
def guarantees() -> None:
    """The privacy mechanism `sample-guarantee`, whose option `of` says of whom it is."""
    register_folder("common.privacy", Path(__file__).parent / "privacy_samples")


@pytest.mark.usefixtures("guarantees")
def test_only_a_guarantee_of_patients_will_do_where_privacy_is_required(make_bundle: Callable[..., Bundle]) -> None:
    sample = "privacy.mechanism='sample-guarantee'"
    assert objected(make_bundle(sample), require_privacy=True, patient_id="patient") == []
    for overrides in ([], [sample, "privacy.of='site'"]):
        assert objected(make_bundle(*overrides), patient_id="patient") == []
        (only,) = objected(make_bundle(*overrides), require_privacy=True, patient_id="patient")
        assert "gives patients no guarantee, and the policy requires one" in only


@pytest.mark.parametrize("method", ["int8", "top-k"])
def test_bytes_are_those_of_the_compressed_reply(method: str, make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle(f"compression.method='{method}'")
    size, whole = reply_bytes(bundle, "east"), study_bytes(bundle, "east")
    assert size < 0.4 * bundle.schema.shared.size_bytes
    assert objected(bundle, max_update_bytes=size, max_study_bytes=whole) == []
    assert f"{size} bytes of tensors" in objected(bundle, max_update_bytes=size - 1)[0]
    assert f"{whole} bytes" in objected(bundle, max_study_bytes=whole - 1)[0]


def test_a_pattern_keeps_only_tensors_that_would_leave(make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle("peft.private=['head.*']")
    assert objected(bundle, tensors=("encoder.*",)) == []


def test_the_digest_is_of_every_rule() -> None:
    changed = [
        Policy(coordinators=(KEY,)),
        Policy(methods=()),
        Policy(tensors=()),
        Policy(max_update_bytes=1),
        Policy(max_study_bytes=1),
        Policy(max_update_norm=1),
        Policy(minimum_patients=1),
        Policy(minimum_class_patients=1),
        Policy(metrics=()),
        Policy(release_histograms=True),
        Policy(release_cohort=True),
        Policy(small_cell=20),
        Policy(hours=("Mo 00:00-24:00",)),
        Policy(runs=2),
        Policy(privacy_epsilon=3),
        Policy(privacy_delta=1e-6),
        Policy(require_privacy=True),
        Policy(count_step=1),
        Policy(exact_metrics=True),
        Policy(patient_id="patient"),
        Policy(adopt_max_loss=0.1),
    ]
    assert len(changed) == len(Policy.model_fields)
    assert len({policy.digest for policy in [Policy(), *changed]}) == 1 + len(changed)


def test_a_method_within_a_method_must_be_allowed_too(make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()
    peft = PeftSection.model_validate({"method": "lora", "second": {"method": "full"}})
    mixed = replace(bundle, study=bundle.study.model_copy(update={"peft": peft}))
    (only,) = objected(mixed, methods=("lora", "prefix"))
    assert "the method full is not among" in only
    assert objected(mixed, methods=("lora", "full")) == []


def test_full_fine_tuning_by_another_name_is_seen(make_bundle: Callable[..., Bundle]) -> None:
    nearly = make_bundle("peft={method='last-layers', layers=2}")
    assert nearly.schema.size > nearly.base_model.parameters
    (only,) = objected(nearly)
    assert "more than it leaves frozen" in only
    assert objected(nearly, methods=("last-layers", "full")) == []
    assert objected(make_bundle("peft={method='last-layers', layers=1}")) == []


@pytest.mark.parametrize(("weights", "is_alone"), [("1.0, 0.0", True), ("0.001, 1.0", True), ("0.1, 10.0", False)])
def test_a_loss_of_few_patients_alone_is_seen(weights: str, is_alone: bool, make_bundle: Callable[..., Bundle]) -> None:
    """`minimum_patients` counts all who are trained on, of whom such weights leave those of the rare class."""
    bundle = make_bundle(f"task.criterion={{name='cross-entropy', weights=[{weights}]}}")
    assert any("patients alone" in text for text in objected(bundle)) is is_alone
    assert objected(bundle, minimum_class_patients=0) == []


def test_a_study_that_counts_visits_as_patients_is_told_of_none(make_bundle: Callable[..., Bundle]) -> None:
    asks = make_bundle("evaluation.cohort=true")
    column = asks.study.data.patient_id
    assert column is not None
    assert objected(asks, release_cohort=True) == objected(asks, release_cohort=True, patient_id=column) == []
    assert objected(asks, patient_id="mrn") == []  # none leaves
    (only,) = objected(asks, release_cohort=True, patient_id="mrn")
    assert "counts patients by data.patient_id" in only
    assert objected(make_bundle(), release_cohort=True, patient_id="mrn") == []


def test_a_study_that_knows_patients_by_another_column_is_no_fresh_budget(make_site: Callable[..., Any]) -> None:
    site = make_site("privacy.mechanism=patient-dp")
    for column, found in (("", 1), ("patient", 0), ("visit", 1)):
        policy = site.set_policy(patient_id=column)
        signed = read_signed(site.source)
        said = objections(policy, signed.bundle, site="east", coordinator=signed.coordinator)
        assert len([text for text in said if "takes data.patient_id = 'patient'" in text]) == found
