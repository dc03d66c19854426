"""What a study may ask of the privacy of patients."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from common.errors import StudyError
from common.privacy._accounting import epsilon_of
from common.privacy.patient_dp import PatientDP
from common.protecting import mechanism_of
from common.study import Study


@pytest.mark.parametrize("clip_norm", ["1e-44", "1e-7", "1e7", "inf", "0"])
def test_a_bound_where_float32_has_no_numbers_between_is_refused(
    clip_norm: str, make_study: Callable[..., Study]
) -> None:
    """Each of 10^6 numbers of 0.75e-45 is rounded up to 1.4e-45: the patient's norm would be twice the bound."""
    with pytest.raises(StudyError, match="option clip_norm"):
        make_study("privacy.mechanism=patient-dp", f"privacy.clip_norm={clip_norm}")


NOT_BESIDE = {
    "peft.method=adalora": "prunes by gradients",
    "peft={method='hybrid', first={method='adalora'}, second={method='layer-norm'}}": "prunes by gradients",
    "training.regulariser={kind='ewc', weight=1.0}": "computes with rows beside the clipped gradients",
    "training.accumulate=2": "leave it out",
    "training.precision=fp16": "use bf16 or fp32",
    "evaluation.keep=best": "use 'last'",
    "federation.patience=2": "leave it out",
    "data.patient_id=''": "patient_id",
}


@pytest.mark.parametrize("override", NOT_BESIDE)
def test_what_uses_rows_in_another_way_is_refused_with_what_to_do(
    override: str, make_study: Callable[..., Study]
) -> None:
    with pytest.raises(StudyError, match=NOT_BESIDE[override]):
        make_study("privacy.mechanism=patient-dp", override)


def test_a_promise_and_a_noise_are_one_too_many(make_study: Callable[..., Study]) -> None:
    with pytest.raises(StudyError, match="give one of them"):
        make_study("privacy.mechanism=patient-dp", "privacy.epsilon=2.0", "privacy.noise_multiplier=1.0")


@pytest.mark.parametrize(
    ("patients", "batch", "q", "steps"), [(200, 50, 0.25, 8), (30, 50, 1.0, 2), (70, 50, 5 / 7, 3)]
)
def test_a_round_spends_what_its_steps_are_and_all_rounds_what_was_promised(
    patients: int, batch: int, q: float, steps: int, make_study: Callable[..., Study]
) -> None:
    study = make_study(
        "privacy.mechanism=patient-dp",
        "privacy.epsilon=2.0",
        f"training.batch_size={batch}",
        "training.local_epochs=2",
        "federation.rounds=4",
    )
    mechanism = mechanism_of(study)
    assert isinstance(mechanism, PatientDP)
    one = mechanism.round_of(study, patients)
    assert (one.sampling_probability, one.steps) == (q, steps)
    assert 1.98 < epsilon_of([one] * 4, delta=1e-5) <= 2.0
    given = replace(mechanism, epsilon=None, noise_multiplier=1.5).round_of(study, patients)
    assert given.noise_multiplier == 1.5
