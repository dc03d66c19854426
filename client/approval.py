"""Approved studies: each bundle that the hospital agreed to, pinned by its digest, in a folder of its own.

An approval counts while `approval.json` lies beside the unchanged bundle with the coordinator's signature; to remove
that one file is to revoke it. What a study left in the site's state, such as the bytes it was sent, outlives it.
"""

import json
import secrets
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from client.policy import Policy
from client.site_folder import SiteFolder
from common.bundle import FILES, Bundle, read_bundle
from common.endorsement import FILE as ENDORSEMENT
from common.endorsement import read_endorsement
from common.errors import BundleError, UserError
from common.files import write_json
from common.ownership import check_owner

FILE = "approval.json"
_CONTENT = (*FILES, "bundle.json", ENDORSEMENT)
Stamp = Mapping[str, tuple[int, int, int]]
"""Of each file its inode, size and time of change: where they are the same, so is the content."""


class Approval(BaseModel):
    """What was approved, when (UTC), whose signature it bore, and under which policy (digests)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    time: str
    name: str
    study: str
    bundle: str
    coordinator: str
    policy: str


@dataclass(frozen=True)
class Signed:
    """A bundle with the public key of the coordinator whose signature it bears."""

    bundle: Bundle
    coordinator: str


@dataclass(frozen=True)
class Approved:
    """An approval, and the folder that holds it."""

    approval: Approval
    folder: Path

    def stamp(self) -> Stamp:
        """Return what changes when a file of the folder does; empty where the approval is gone."""
        try:
            return {name: _stamp_of(self.folder / name) for name in (FILE, *_CONTENT)}
        except OSError:
            return {}

    def holds(self) -> bool:
        """Whether the approval is still there: one look at one file."""
        return (self.folder / FILE).exists()

    def read(self) -> Signed:
        """Return the bundle as it was approved. Raises UserError where anything of it is not."""
        signed = read_signed(self.folder)
        if (signed.bundle.digest, signed.coordinator) != (self.approval.bundle, self.approval.coordinator):
            raise BundleError(f"approved bundle {self.folder.name} is another one than {FILE} says; approve it again")
        return signed


def _stamp_of(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_ctime_ns  # the time of change, which no program can set


def read_signed(folder: Path) -> Signed:
    """Read a bundle and check its signature; whether its coordinator is trusted is the policy's matter."""
    bundle = read_bundle(folder)
    return Signed(bundle, read_endorsement(folder, bundle).coordinator)


def approve(
    folder: SiteFolder, source: Path, signed: Signed, policy: Policy, *, now: datetime | None = None
) -> Approved:
    """Pin the bundle that was read from `source`: copy it, with its signature, into the site's folder.

    Raises:
        UserError: it is approved already, or another bundle of the same study is; the site is another OS user's.
    """
    check_owner(folder.path)
    _check_new(folder, signed.bundle)
    made = Approval(
        time=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
        name=signed.bundle.study.name,
        study=signed.bundle.study.digest,
        bundle=signed.bundle.digest,
        coordinator=signed.coordinator,
        policy=policy.digest,
    )
    place = folder.approval(made.bundle)
    beside = place.with_name(f".{place.name}.{secrets.token_hex(6)}")
    beside.mkdir(mode=0o700, parents=True)
    try:
        for name in _CONTENT:
            shutil.copyfile(source / name, beside / name)
        write_json(beside / FILE, made.model_dump())
        Approved(made, beside).read()  # what was shown is what is pinned, whatever happened to `source`
        if place.exists():
            shutil.rmtree(place)  # what a revocation that was cut short has left
        beside.rename(place)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return Approved(made, place)


def _check_new(folder: SiteFolder, bundle: Bundle) -> None:
    for each in approvals(folder):
        if each.approval.bundle == bundle.digest:
            raise UserError(f"study {bundle.study.name!r}, bundle {bundle.digest}, is approved already")
        if each.approval.study == bundle.study.digest:
            raise UserError(
                f"study {bundle.study.name!r} is approved already, with another bundle, {each.approval.bundle}; "
                f"revoke that one first: fedpeft site revoke {folder.path} {each.approval.bundle}"
            )


def approvals(folder: SiteFolder) -> list[Approved]:
    """Return the site's approvals, the oldest first.

    Raises:
        UserError: one cannot be read, or others than the hospital's own user could have written one.
    """
    for place in (folder.path, folder.approved):
        _check_mode(place)
    read = ((_read(path), path.parent) for path in folder.approved.glob(f"[!.]*/{FILE}"))
    found = [Approved(approval, place) for approval, place in read if approval is not None]
    return sorted(found, key=lambda each: (each.approval.time, each.approval.bundle))


def _check_mode(place: Path) -> None:
    """Where others may write, an approval says nothing; a folder that is not there holds none."""
    mode = stat.S_IMODE(place.stat().st_mode) if place.exists() else 0
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UserError(
            f"the folder {place.name} may be changed by others than its owner (mode {mode:04o}), and no approval in it "
            f"counts: chmod go-w {place.name}"
        )


def _read(path: Path) -> Approval | None:
    """Return an approval, or None where it was revoked just now."""
    try:
        return Approval.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError):
        raise UserError(
            f"approved/{path.parent.name}/{FILE} cannot be read; remove that folder, and approve the study again"
        ) from None


def find(folder: SiteFolder, matches: Callable[[Approval], bool]) -> Approved | None:
    """Return the approval for which `matches` is true, or None."""
    return next((each for each in approvals(folder) if matches(each.approval)), None)


def revoke(folder: SiteFolder, wanted: str) -> list[Approval]:
    """Take back every approval of a study's name, or of a digest of study or bundle (or its first 16 hex digits).

    Raises:
        UserError: there is none.
    """
    chosen = [each for each in approvals(folder) if _is_named(each.approval, wanted)]
    if not chosen:
        known = ", ".join(f"{each.approval.name} ({each.folder.name})" for each in approvals(folder)) or "none"
        raise UserError(f"no approved study is {wanted!r}; approved are: {known}")
    for each in chosen:
        (each.folder / FILE).unlink()  # from here on it does not count
        shutil.rmtree(each.folder)
    return [each.approval for each in chosen]


def _is_named(approval: Approval, wanted: str) -> bool:
    hexadecimal = wanted.removeprefix("sha256:").lower()
    digests = (approval.study, approval.bundle)
    by_digest = len(hexadecimal) >= 16 and any(d.removeprefix("sha256:").startswith(hexadecimal) for d in digests)
    return wanted == approval.name or by_digest
