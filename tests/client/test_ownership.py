"""Whose a site is: another user's command leaves nothing there, and a trainer that lives is seen."""

import os
from pathlib import Path

import pytest

from client.ownership import check_owner, trainer_runs
from client.site_folder import SiteFolder
from client.trainer_socket import prepare_folder
from common.errors import UserError


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_root_leaves_nothing_in_another_users_site(tmp_path: Path) -> None:
    check_owner(SiteFolder(tmp_path))
    os.chown(tmp_path, 1, -1)
    with pytest.raises(UserError, match=r"is OS user daemon's.*run the same command.*runuser -u daemon"):
        check_owner(SiteFolder(tmp_path))
    os.chown(tmp_path, 54321, -1)
    with pytest.raises(UserError, match="54321"):
        check_owner(SiteFolder(tmp_path))


def test_a_trainer_is_there_as_long_as_it_holds_its_lock(tmp_path: Path) -> None:
    folder = SiteFolder(tmp_path)
    assert not trainer_runs(folder)
    held = prepare_folder(folder)
    assert trainer_runs(folder)
    os.close(held)
    assert not trainer_runs(folder)
