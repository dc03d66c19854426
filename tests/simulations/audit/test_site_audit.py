import json
import shutil
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.approval import approve, read_signed
from client.policy import read_policy
from client.site_folder import SiteFolder
from common import endorsement
from common.bundle import read_bundle
from common.command import main
from common.errors import UserError
from simulations.audit.auditing import Options, audit
from simulations.audit.site_audit import audit_site
from simulations.export_sites import export_sites
from simulations.run import run

FAST = ["training.local_epochs=2", "evaluation.resamples=0", "training.precision=fp32"]


@pytest.fixture
def played(tmp_path: Path) -> Path:
    run("quick", out=tmp_path / "run", rounds=2, overrides=FAST, comparison=False)
    return tmp_path / "run"


@pytest.fixture
def site(played: Path, tmp_path: Path, join_file: Path, coordinator_key: Ed25519PrivateKey) -> SiteFolder:
    """A real site with the rows of the virtual one, which has approved the run's study."""
    made = export_sites(played, tmp_path / "sites", join=join_file, open_policy=True)["east"]
    source = shutil.copytree(played / "bundle", tmp_path / "signed")
    endorsement.endorse(source, read_bundle(source), coordinator_key)
    approve(made, source, read_signed(source), read_policy(made.policy))
    return made


def test_a_site_finds_of_its_rows_what_the_simulation_finds(site: SiteFolder, played: Path) -> None:
    found = audit_site(site.path, played / "adapter", Options(resamples=50))
    simulated = audit(played, Options(resamples=50))
    expected = {(c.key, c.scope): c.metric.value for c in simulated.checks if c.scope == "east"}
    assert {(c.key, c.scope): c.metric.value for c in found.checks} == pytest.approx(
        {key: value for key, value in expected.items() if key[0].startswith("membership")}
    )
    assert [text.partition(":")[0] for text in found.without] == ["canaries", "tokens"]


def test_only_figures_are_written_for_the_site_alone(site: SiteFolder, played: Path, capsys) -> None:
    words = ["audit", "leakage", "--site", str(site.path), "--adapter", str(played / "adapter"), "--resamples", "20"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main(words)
    assert str(site.path / "audit" / "audit.html") in capsys.readouterr().out
    for name in ("audit.json", "audit.html"):
        file = site.path / "audit" / name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "east-0" not in file.read_text()
        assert "breathless" not in file.read_text()
    assert json.loads((site.path / "audit" / "audit.json").read_text())["kind"] == "site"


def test_a_study_that_the_site_has_not_approved_is_refused(site: SiteFolder, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run("quick", out=other, rounds=1, overrides=FAST, comparison=False)
    with pytest.raises(UserError, match=r"the adapter is of study 'quick', sha256:.*, which is not approved here"):
        audit_site(site.path, other / "adapter", Options(resamples=20))
    with pytest.raises(UserError, match="is no site"):
        audit_site(tmp_path / "run", other / "adapter", Options(resamples=20))
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["audit", "leakage", "--site", str(site.path)])
