from pathlib import Path

import pytest

from client.settings import read_settings
from client.site_folder import SiteFolder
from common.errors import UserError

KEY = "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
GOOD = 'site = "north"\ndata = "rows.csv"\nbase_models = ["../model", "/models/b"]\n'
COORDINATOR = f'[coordinator]\naddress = "fed.example.org:8443"\nsigning_key = "{KEY}"\n'


def written(folder: Path, text: str) -> SiteFolder:
    site = SiteFolder(folder)
    site.settings.write_text(text)
    return site


def test_paths_count_from_the_site_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    written(tmp_path / "site", GOOD + COORDINATOR)
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "site", Path("site")):
        found = read_settings(SiteFolder(folder))
        assert found.rows == tmp_path / "site" / "rows.csv"
        assert [path.resolve() for path in found.base_models] == [tmp_path / "model", Path("/models/b")]


def test_what_is_left_out_has_careful_defaults(tmp_path: Path) -> None:
    found = read_settings(written(tmp_path, 'site = "north"\n' + COORDINATOR))
    assert (found.data, found.base_models, found.device, found.threads) == (None, (), "cpu", 1)
    assert found.trainer.socket_group is None
    with pytest.raises(UserError, match="names no rows"):
        _ = found.rows


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("devise = 'cpu'\n" + GOOD + COORDINATOR, r"devise: unknown key; did you mean 'device'"),
        ("bundle = 'b'\n" + GOOD + COORDINATOR, r"bundle: unknown key"),
        ("threads = 0\n" + GOOD + COORDINATOR, r"threads: .*found 0"),
        (GOOD.replace('"north"', '"no/rth"') + COORDINATOR, r"site: .*found 'no/rth'"),
        (COORDINATOR, r"site: missing"),
        (GOOD, r"coordinator: missing"),
        (GOOD + COORDINATOR.replace("8443", "84430"), r"coordinator.address: expected HOST:PORT"),
        (GOOD + COORDINATOR.replace("fed.example.org:8443", "--insecure"), r"coordinator.address: expected HOST:PORT"),
        (GOOD + COORDINATOR.replace("AAA=", ""), r"coordinator.signing_key: not a public signing key"),
        (GOOD + COORDINATOR + "[trainer]\nsocket_grp = 'x'\n", r"trainer.socket_grp: unknown key; did you mean"),
        ("site = ", r"is not TOML"),
    ],
)
def test_a_wrong_key_is_named_in_one_line(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(UserError, match=found) as caught:
        read_settings(written(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "site.toml" in str(caught.value)


def test_a_folder_that_is_no_site_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no site.*fedpeft site init"):
        read_settings(SiteFolder(tmp_path))
    (tmp_path / "site.toml").mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        read_settings(SiteFolder(tmp_path))
