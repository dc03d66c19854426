"""Who shares a disk: many sites, of whom none remembers anything but its answers."""

from collections.abc import Callable

import pytest

from common.bundle import Bundle
from simulations.crowd.disks import MANY, is_crowd


@pytest.mark.parametrize(
    ("sites", "overrides", "expected"),
    [
        (MANY, (), True),
        (MANY - 1, (), False),
        (MANY, ("peft.private=['head.*']",), False),
        (MANY, ("compression.method='top_k'",), False),
        (MANY, ("compression.method='int8'",), None),
    ],
)
def test_many_sites_share_a_disk_unless_they_remember_more(
    sites: int, overrides: tuple[str, ...], expected: bool | None, make_bundle: Callable[..., Bundle]
) -> None:
    names = [f"s-{number:04d}" for number in range(sites)]
    bundle = make_bundle(*overrides, f"federation.sites={names}")
    from common.compressing import compression_of

    keeps = compression_of(bundle.study.compression).keeps_error
    assert is_crowd(bundle) is (not keeps if expected is None else expected)
