"""Whose a folder is: another user's command leaves nothing there."""

import os
from pathlib import Path

import pytest

from common.errors import UserError
from common.ownership import check_owner


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_root_leaves_nothing_in_another_users_folder(tmp_path: Path) -> None:
    check_owner(tmp_path)
    os.chown(tmp_path, 1, -1)
    with pytest.raises(UserError, match=r"is OS user daemon's.*run the same command.*runuser -u daemon"):
        check_owner(tmp_path)
    os.chown(tmp_path, 54321, -1)
    with pytest.raises(UserError, match="54321"):
        check_owner(tmp_path)
