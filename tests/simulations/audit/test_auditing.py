import json
import re
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from simulations.audit.auditing import Options, audit, written
from simulations.audit.findings import Audit
from simulations.audit.looking_for_tokens import ONE_BATCH, ONE_ROW, OTHER_UPLOAD, UPLOAD
from simulations.audit.opened import open_run
from simulations.audit.verdict import Check
from simulations.builtin_rows import quick
from simulations.run import run


def check_of(found: Audit, key: str, scope: str) -> Check:
    return next(check for check in found.checks if (check.key, check.scope) == (key, scope))


def test_a_run_that_leaks_on_purpose_is_flagged(leaky_audit: Audit) -> None:
    assert leaky_audit.verdict == "fail"
    for key in ("canary_exposure", "canary_auc"):
        assert check_of(leaky_audit, key, "east").verdict == "fail"
    assert leaky_audit.canaries is not None
    assert np.mean(leaky_audit.canaries.exposures) > leaky_audit.canaries.chance + 1


def test_a_model_that_never_saw_the_rows_knows_no_members(leaky_audit: Audit) -> None:
    assert len(leaky_audit.sanity) == 2
    for each in leaky_audit.sanity:
        assert each.is_as_expected, each


def test_every_site_and_all_together_are_judged(leaky_audit: Audit) -> None:
    for key in ("membership_auc", "membership_tpr_at_1pct"):
        found = [(check.scope, check.leading) for check in leaky_audit.checks if check.key == key]
        places = [("all sites", True), ("east", False), ("north", False), ("west", False)]
        assert found == places * 2  # by loss, and by shadows
    tokens = [(check.scope, check.leading) for check in leaky_audit.checks if check.key == "token_recall"]
    assert tokens == [("east", True), ("north", True), ("west", True)]


def test_canaries_are_no_members_and_no_others(leaky_run: Path, leaky_audit: Audit) -> None:
    raw = len(quick.rows())
    run_ = open_run(leaky_run)
    validation = sum(len(rows.validation) for rows in run_.sites.rows.values())
    assert check_of(leaky_audit, "membership_auc", "all sites").units == raw - validation


def test_one_gradient_gives_more_away_than_many_steps(leaky_audit: Audit) -> None:
    found = {setting.name: setting for setting in leaky_audit.tokens.settings if setting.scope == "east"}
    assert set(found) == {ONE_ROW, ONE_BATCH, UPLOAD, OTHER_UPLOAD.format(other="north")}
    row, upload = found[ONE_ROW].found.auc.value, found[UPLOAD].found.auc.value
    assert row is not None
    assert upload is not None
    assert row > max(0.9, upload)
    assert [setting.counts for setting in found.values()].count(True) == 1


def test_the_files_hold_figures_and_nothing_of_a_row(leaky_audit: Audit, tmp_path: Path) -> None:
    written(leaky_audit, tmp_path)
    content = json.loads((tmp_path / "audit.json").read_text())
    assert content == json.loads(json.dumps(leaky_audit.to_json()))
    assert content["verdict"] == "fail"
    words = {word for row in quick.rows() for word in row["note"].replace(",", " ").split() if len(word) > 4}
    words -= {"fever", "weight", "sleep"}  # of CSS, of prose
    patients = {row["patient"] for row in quick.rows()}
    page = re.sub(r"<style>.*?</style>", "", (tmp_path / "audit.html").read_text(), flags=re.DOTALL)
    for text in (json.dumps(content), page):
        assert not patients & set(re.findall(r"[a-z]+-\d\d", text))
        assert not words & set(re.findall(r"[a-z]+", text.lower()))


def test_the_same_audit_again_finds_the_same(leaky_run: Path, leaky_audit: Audit) -> None:
    again = audit(leaky_run, Options(resamples=200))
    assert again.checks == tuple(check for check in leaky_audit.checks if "shadows" not in check.label)
    assert (again.sanity, again.canaries, again.tokens) == (
        leaky_audit.sanity,
        leaky_audit.canaries,
        leaky_audit.tokens,
    )


def test_without_lora_tokens_are_not_measured_and_never_passed(tmp_path: Path) -> None:
    fast = ["training.local_epochs=1", "evaluation.resamples=0", "peft={method='prefix', virtual_tokens=4}"]
    run("quick", out=tmp_path / "run", rounds=1, overrides=fast, comparison=False)
    found = audit(tmp_path / "run", Options(resamples=20))
    said = "not measured: no published attack is implemented for peft.method = 'prefix'"
    assert found.tokens.missing == said
    assert not [check for check in found.checks if check.key == "token_recall"]
    assert [text.partition(":")[0] for text in found.without] == ["canaries", "tokens"]
    assert said in (tmp_path / "run" / "audit.html").read_text().replace("&#39;", "'")


def test_an_odd_number_of_shadows_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--shadows 3: expected an even number"):
        audit(tmp_path, Options(shadows=3))


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
