from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from common.bundle import Bundle
from common.state import digest_state
from server.outcome_json import outcome_json


@pytest.fixture
def content_of(make_bundle: Callable[..., Bundle], lab: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    def make(*overrides: str) -> dict[str, Any]:
        bundle = make_bundle(*overrides)
        adapter = {name: bundle.initial[name] for name in bundle.schema.shared.names}
        return outcome_json(bundle, replace(lab(2).run(), adapter=adapter))

    return make


@pytest.mark.parametrize(
    ("private", "peft", "head"),
    [
        ("[]", True, ["shared"]),
        ("['head.*']", True, ["private"]),
        ("['head.bias']", True, ["private", "shared"]),
        ("['*.lora_B.*']", False, ["shared"]),
    ],
)
def test_what_the_adapter_s_folder_holds_is_said(
    private: str, peft: bool, head: list[str], content_of: Callable[..., dict[str, Any]]
) -> None:
    assert content_of(f"peft.private={private}")["export"] == {"peft": peft, "head": head}


def test_digests_are_those_of_what_they_name(
    make_bundle: Callable[..., Bundle], content_of: Callable[..., dict[str, Any]]
) -> None:
    bundle, content = make_bundle(), content_of()
    assert content["digests"] == {
        "study": bundle.study.digest,
        "schema": bundle.schema.digest,
        "base_model": bundle.study.base_model.digest,
        "bundle": bundle.digest,
        "adapter": digest_state({name: bundle.initial[name] for name in bundle.schema.shared.names}),
        "carried": None,
    }
    assert (content["format"], content["seed"], len(content["rounds"])) == (1, bundle.study.seed, 3)
