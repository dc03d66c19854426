"""What a study may ask of the privacy of patients."""

from collections.abc import Callable

import pytest

from common.errors import StudyError
from common.study import Study


@pytest.mark.parametrize("clip_norm", ["1e-44", "1e-7", "1e7", "inf", "0"])
def test_a_bound_where_float32_has_no_numbers_between_is_refused(
    clip_norm: str, make_study: Callable[..., Study]
) -> None:
    """Each of 10^6 numbers of 0.75e-45 is rounded up to 1.4e-45: the patient's norm would be twice the bound."""
    with pytest.raises(StudyError, match="option clip_norm"):
        make_study("privacy.mechanism=patient-dp", f"privacy.clip_norm={clip_norm}")
