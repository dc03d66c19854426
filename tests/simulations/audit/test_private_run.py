"""The run that leaks on purpose, with noise: what was planted is not found."""

import pytest

from simulations.audit.auditing import Options, audit
from simulations.run import run

NOISE = ("privacy.mechanism=patient-dp", "privacy.epsilon=3.0", "training.batch_size=1000")


def test_at_epsilon_3_the_audit_finds_no_canary_and_no_member(
    leaky_overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By chance alone 8 canaries have a mean exposure above the threshold of 3 bits in one of thousands of runs."""
    folder = tmp_path_factory.mktemp("private") / "run"
    run("quick", out=folder, rounds=2, overrides=[*leaky_overrides, *NOISE], comparison=False)
    found = audit(folder, Options(resamples=200))
    assert found.subject.guarantee is not None
    assert found.subject.guarantee["epsilon"] == 3.0
    assert found.verdict != "fail"
    (exposure,) = [check for check in found.checks if check.key == "canary_exposure"]
    assert exposure.metric.value is not None
    assert exposure.metric.value < 3.0
