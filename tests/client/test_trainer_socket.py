"""The socket's folder as somebody else may have left it: nothing there is believed, followed or left open."""

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from client.service import serve
from client.site_folder import SiteFolder
from client.trainer_socket import new_token, prepare_folder, remove_stale, trainer_runs
from common.errors import UserError


class Nobody:
    def respond(self, action: str, content: Any) -> Any:
        raise NotImplementedError

    def status(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def folder(tmp_path: Path) -> SiteFolder:
    """A site whose socket folder is open to everybody."""
    made = SiteFolder(tmp_path / "site")
    made.socket.parent.mkdir(parents=True)
    made.socket.parent.chmod(0o777)
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_false_socket_is_replaced_and_its_token_worth_nothing(folder: SiteFolder) -> None:
    """Another's socket waits under the name, and a token that all may read: a start makes both anew, and private."""
    with socket.socket(socket.AF_UNIX) as false:
        false.bind(str(folder.socket))
        false.listen()
        folder.token.write_text("0" * 64)
        folder.token.chmod(0o666)
        service = serve(Nobody(), folder)
        modes = [mode(path) for path in (folder.socket.parent, folder.socket, folder.token)]
        token = folder.token.read_text()
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(folder.socket))
            false.settimeout(0.2)
            with pytest.raises(TimeoutError):
                false.accept()
        service.stop(1)
    assert modes == [0o700, 0o600, 0o600]
    assert token != "0" * 64


def test_a_link_under_the_token_s_name_is_not_followed(folder: SiteFolder, tmp_path: Path) -> None:
    target = tmp_path / "theirs"
    target.write_text("unchanged")
    folder.token.symlink_to(target)
    token = new_token(folder.token)
    assert (folder.token.read_text(), target.read_text()) == (token, "unchanged")
    assert not folder.token.is_symlink()


def test_a_link_under_the_socket_s_name_goes_and_its_target_stays(folder: SiteFolder, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(tmp_path / "theirs"))
        folder.socket.symlink_to(tmp_path / "theirs")
        remove_stale(folder.socket)
    assert not folder.socket.is_symlink()
    assert (tmp_path / "theirs").exists()


def test_what_is_no_socket_is_not_removed(folder: SiteFolder) -> None:
    folder.socket.write_text("notes")
    with pytest.raises(UserError, match="no socket; move it away"):
        remove_stale(folder.socket)
    assert folder.socket.read_text() == "notes"


def test_a_folder_that_is_a_link_is_refused(folder: SiteFolder, tmp_path: Path) -> None:
    """The socket would be where somebody else decides who may enter."""
    home, theirs = folder.socket.parent, tmp_path / "theirs"
    home.rmdir()
    theirs.mkdir(mode=0o777)
    home.symlink_to(theirs)
    with pytest.raises(UserError, match="is a link"):
        os.close(prepare_folder(folder))


def test_a_trainer_is_there_as_long_as_it_holds_its_lock(tmp_path: Path) -> None:
    folder = SiteFolder(tmp_path)
    assert not trainer_runs(folder)
    held = prepare_folder(folder)
    assert trainer_runs(folder)
    os.close(held)
    assert not trainer_runs(folder)
