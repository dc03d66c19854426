"""An approval is of one bundle, as it was shown; a change to any of its files, or a revocation, ends it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.approval import FILE, Approved, approvals, approve, find, read_signed, revoke
from client.policy import read_policy
from common import endorsement, keys
from common.bundle import FILES
from common.errors import BundleError, UserError

Make = Callable[..., Any]


def test_what_was_approved_is_found_by_its_study(make_site: Make) -> None:
    site = make_site()
    made = site.approve()
    assert approvals(site.folder) == [made]
    assert made.approval.study == site.bundle.study.digest
    assert made.approval.bundle == site.bundle.digest
    assert made.approval.policy == read_policy(site.folder.policy).digest
    assert made.folder == site.folder.approval(site.bundle.digest)
    assert made.read().bundle.digest == site.bundle.digest
    assert find(site.folder, lambda each: each.study == site.bundle.study.digest) == made
    assert find(site.folder, lambda each: each.study == "sha256:other") is None
    assert {path.name for path in made.folder.iterdir()} == {*FILES, "bundle.json", "endorsement.json", FILE}


def test_the_source_may_go_away(make_site: Make) -> None:
    site = make_site()
    made = site.approve()
    shutil.rmtree(site.source)
    assert made.read().bundle.digest == site.bundle.digest


def test_an_unsigned_bundle_is_refused(make_site: Make) -> None:
    site = make_site()
    (site.source / endorsement.FILE).unlink()
    with pytest.raises(BundleError, match="not signed"):
        read_signed(site.source)


def test_what_changed_between_showing_and_approving_is_not_approved(make_site: Make, tmp_path: Path) -> None:
    site = make_site()
    shown = read_signed(site.source)
    endorsement.endorse(site.source, site.bundle, keys.make_signing_key(tmp_path / "other.key"))
    with pytest.raises(BundleError, match="another one"):
        approve(site.folder, site.source, shown, read_policy(site.folder.policy))
    assert approvals(site.folder) == []
    assert list(site.folder.approved.iterdir()) == []


@pytest.mark.parametrize("name", [*FILES, "bundle.json", "endorsement.json", FILE])
def test_a_changed_file_changes_the_stamp_and_is_found(make_site: Make, name: str) -> None:
    made: Approved = make_site().approve()
    before = made.stamp()
    assert before == made.stamp()
    path = made.folder / name
    path.write_bytes(path.read_bytes().replace(b"a", b"b"))
    assert made.stamp() != before
    path.unlink()
    assert made.stamp() == {}
    assert made.holds() is (name != FILE)


@pytest.mark.parametrize("name", [*FILES, "bundle.json", "endorsement.json"])
def test_a_changed_bundle_is_no_longer_the_approved_one(make_site: Make, name: str) -> None:
    made: Approved = make_site().approve()
    path = made.folder / name
    path.write_bytes(path.read_bytes()[:-3] + b"   ")
    with pytest.raises(UserError):
        made.read()


def test_another_bundle_in_its_place_is_no_longer_the_approved_one(
    make_site: Make, coordinator_key: Ed25519PrivateKey
) -> None:
    """Signed by the same coordinator, too."""
    site = make_site()
    made = site.approve()
    other = site.prepare_other("training.learning_rate=0.5")
    for path in other.iterdir():
        shutil.copyfile(path, made.folder / path.name)
    with pytest.raises(BundleError, match="another one"):
        made.read()


def test_a_study_is_approved_once(make_site: Make) -> None:
    site = make_site()
    site.approve()
    with pytest.raises(UserError, match="approved already"):
        site.approve()
    assert len(approvals(site.folder)) == 1


@pytest.mark.parametrize("by", ["name", "study", "bundle", "short"])
def test_a_study_is_revoked_by_name_or_digest(make_site: Make, by: str) -> None:
    site = make_site()
    made = site.approve()
    words = {
        "name": made.approval.name,
        "study": made.approval.study,
        "bundle": made.approval.bundle,
        "short": made.folder.name,
    }
    with pytest.raises(UserError, match=f"approved are: quick.*{made.folder.name}"):
        revoke(site.folder, "sha256:0")
    assert revoke(site.folder, words[by]) == [made.approval]
    assert not made.holds()
    assert list(site.folder.approved.iterdir()) == []
    assert site.approve().holds()


def test_a_revocation_that_was_cut_short_still_counts(make_site: Make) -> None:
    site = make_site()
    made = site.approve()
    (made.folder / FILE).unlink()
    assert approvals(site.folder) == []
    assert site.approve().read().bundle.digest == site.bundle.digest


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}'])
def test_a_damaged_approval_is_said(make_site: Make, content: str) -> None:
    site = make_site()
    (site.approve().folder / FILE).write_text(content)
    with pytest.raises(UserError, match=r"approval\.json cannot be read"):
        approvals(site.folder)


@pytest.mark.parametrize("place", ["", "approved"])
def test_where_others_may_write_no_approval_counts(make_site: Make, place: str) -> None:
    site = make_site()
    site.approve()
    folder = site.folder.path / place
    for mode in (0o777, 0o770):
        folder.chmod(mode)
        with pytest.raises(UserError, match=rf"by others than its owner \(mode {mode:04o}\).*chmod go-w"):
            approvals(site.folder)
    folder.chmod(0o700)
    assert len(approvals(site.folder)) == 1


def test_an_approval_written_by_hand_through_a_link_is_of_the_bundle_that_was_signed(make_site: Make) -> None:
    """Who could put a link there could not make the signature: what it leads to is read, and is another bundle."""
    site = make_site()
    made = site.approve()
    other = site.prepare_other("training.learning_rate=0.5")
    (other / FILE).write_bytes((made.folder / FILE).read_bytes())
    shutil.rmtree(made.folder)
    made.folder.symlink_to(other)
    (found,) = approvals(site.folder)
    with pytest.raises(BundleError, match="another one"):
        found.read()


def test_a_change_that_keeps_size_and_time_is_noticed(make_site: Make) -> None:
    made = make_site().approve()
    path = made.folder / "names.json"
    before, found = made.stamp(), path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:-2] + b" \n")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (found.st_size, found.st_mtime_ns)
    assert made.stamp() != before
