"""Enrolment files, as hospitals make them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from common import keys
from common.enrolment import Enrolment, write_enrolment


@pytest.fixture
def enrolment_file(tmp_path: Path) -> Callable[..., Path]:
    """`enrolment_file("north")`: a new site's file; with `like`, one with the keys of that folder's site."""

    def make(site: str, *, like: str | None = None, file: str | None = None) -> Path:
        own = tmp_path / "sites" / (like or site)
        if like is None:
            own.mkdir(parents=True, exist_ok=True)
            keys.make_transport_key(own / "transport")
            keys.make_signing_key(own / "signing.key")
        key = keys.read_signing_key(own / "signing.key")
        public = (own / "transport.pub").read_text()
        path = tmp_path / f"{file or site}.enrol"
        write_enrolment(path, Enrolment(site=site, transport_key=public, signing_key=keys.public_text(key)), key)
        return path

    return make
