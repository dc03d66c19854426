from dataclasses import fields
from pathlib import Path

import pytest

from client.gate import Policy
from client.settings import PolicySection, read_settings
from common.errors import UserError

GOOD = """
site = "north"
bundle = "bundle"
data = "/rows.csv"
base_model = "../model"
state = "state"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_the_policy_section_is_the_gates_policy_with_its_defaults() -> None:
    assert set(PolicySection.model_fields) == {field.name for field in fields(Policy)}
    assert PolicySection().policy() == Policy()


def test_what_the_policy_section_says_reaches_the_gate(tmp_path: Path) -> None:
    text = GOOD + '[policy]\nminimum_patients = 10\nmetrics = ["auroc"]\nmax_update_norm = 2.5\n'
    policy = read_settings(written(tmp_path, text)).policy.policy()
    assert policy == Policy(minimum_patients=10, metrics=("auroc",), max_update_norm=2.5)


def test_paths_count_from_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, GOOD)
    monkeypatch.chdir(tmp_path.parent)
    for asked in (path, path.relative_to(tmp_path.parent)):
        found = read_settings(asked)
        assert (found.bundle, found.state, found.data) == (tmp_path / "bundle", tmp_path / "state", Path("/rows.csv"))
        assert found.base_model.resolve() == tmp_path.parent / "model"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (GOOD + "devise = 'cpu'\n", r"devise: unknown key; did you mean 'device'"),
        (
            GOOD + "[policy]\nrelease_histogram = true\n",
            r"policy.release_histogram: unknown key; did you mean 'release_histograms'",
        ),
        (GOOD + "[policy]\nmetrics = ['auc']\n", r"policy.metrics: there is no metric 'auc'; there are: "),
        (GOOD + "[policy]\nmax_update_bytes = 0\n", r"policy.max_update_bytes: .*found 0"),
        (GOOD + "threads = 0\n", r"threads: .*found 0"),
        (GOOD.replace('"north"', '"no/rth"'), r"site: .*found 'no/rth'"),
        (GOOD.replace('data = "/rows.csv"\n', ""), r"data: missing"),
        ("site = ", r"is not TOML"),
    ],
)
def test_a_wrong_key_is_named_in_one_line(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(UserError, match=found) as caught:
        read_settings(written(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "settings.toml" in str(caught.value)


def test_a_missing_file_and_a_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no settings file"):
        read_settings(tmp_path / "settings.toml")
    with pytest.raises(UserError, match="is a folder"):
        read_settings(tmp_path)
