"""What stands in the way of a site's next message is told before a message fails on it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.obstacles import obstacles
from client.policy import Policy
from client.policy_text import policy_text
from client.site_folder import SiteFolder
from common.errors import UserError
from common.files import write_bytes
from common.keys import public_text


@pytest.fixture
def site(tmp_path: Path) -> SiteFolder:
    """A site that lacks nothing."""
    folder, key = SiteFolder(tmp_path / "site"), public_text(Ed25519PrivateKey.generate())
    for path in (folder.state, folder.socket.parent, folder.approved, folder.path / "model"):
        path.mkdir(parents=True)
    (folder.path / "rows.csv").write_text("a\n1\n")
    lines = ['site = "north"', 'data = "rows.csv"', 'base_models = ["model"]', "[coordinator]"]
    folder.settings.write_text("\n".join([*lines, 'address = "c.example:1"', f'signing_key = "{key}"', ""]))
    write_bytes(folder.policy, policy_text(Policy(coordinators=(key,))).encode(), mode=0o600)
    return folder


def test_nothing_is_in_the_way_of_a_whole_site(site: SiteFolder) -> None:
    assert obstacles(site) == []


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda site: (site.path / "rows.csv").unlink(), "the rows, rows.csv, are not there"),
        (lambda site: (site.path / "model").rmdir(), "the base model model is not there"),
        (lambda site: site.policy.write_text("x"), "policy.toml"),
        (lambda site: site.approved.chmod(0o777), "approved may be changed by others"),
        (lambda site: (site.path / "approved" / "a").mkdir() or approval(site).write_text("{"), "cannot be read"),
    ],
)
def test_each_obstacle_is_one_line_without_folders(
    site: SiteFolder, spoil: Callable[[SiteFolder], object], text: str
) -> None:
    spoil(site)
    (line,) = obstacles(site)
    assert text in line
    assert "\n" not in line


def approval(site: SiteFolder) -> Path:
    return site.approved / "a" / "approval.json"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_that_cannot_be_written_is_told(site: SiteFolder) -> None:
    site.state.chmod(0o500)
    (line,) = obstacles(site)
    assert "state of the site cannot be written to" in line


def test_a_full_disk_is_told(site: SiteFolder) -> None:
    assert ["is full" in line for line in obstacles(site, least_free_bytes=2**80)] == [True, True]


def test_settings_that_cannot_be_read_are_the_error_itself(site: SiteFolder) -> None:
    site.settings.write_text("site = 1")
    with pytest.raises(UserError, match="site"):
        obstacles(site)
