"""A preview holds the bytes that the site would send, and the site is as it was before."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.preview import FRAME, SUMMARY, TEXT, first_request, preview, summary_of
from common import wire
from common.compressing import compression_of
from common.errors import BundleError, UserError
from common.files import digest_bytes
from common.keys import public_text, read_signing_key
from common.metrics.classes import ClassMeasure
from common.protocol import Refusal, Reply, asked_schema
from common.signed_reply import check_signature, without_signature
from common.state import digest_state

Make = Callable[..., Any]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_bytes_are_those_of_the_reply_that_would_be_sent(make_site: Make, tmp_path: Path) -> None:
    site = make_site()
    request = first_request(site.bundle, "east")
    made = preview(site.folder, site.source, tmp_path / "out")
    frame = (tmp_path / "out" / FRAME).read_bytes()
    asked = asked_schema(site.bundle.schema, request.kind, request.plan)
    content = wire.from_frame(frame)
    check_signature(content, request, public_text(read_signing_key(site.folder.signing_key)))
    shown = wire.decode_answer(without_signature(content), asked, measure=ClassMeasure(2))
    site.approve()
    real = site.sent(site.hospital(), replace(request, run="run-1"))
    assert isinstance(shown, Reply)
    assert isinstance(real, Reply)
    assert digest_state(shown.update) == digest_state(real.update)
    assert (shown.examples, set(shown.train), set(shown.evaluations)) == (
        real.examples,
        set(real.train),
        set(real.evaluations),
    )
    assert made.frame == frame


@pytest.mark.parametrize("method", ["int8", "top-k"])
def test_a_compressed_update_is_shown_as_it_leaves_and_as_what_it_stands_for(
    method: str, make_site: Make, tmp_path: Path
) -> None:
    site = make_site(f"compression.method='{method}'")
    shared = site.bundle.schema.shared
    sent = compression_of(site.bundle.study.compression).wire_schema(shared)
    preview(site.folder, site.source, tmp_path / "out")
    frame, summary = (tmp_path / "out" / FRAME).read_bytes(), json.loads((tmp_path / "out" / SUMMARY).read_text())
    shown = wire.decode_answer(without_signature(wire.from_frame(frame)), sent, measure=ClassMeasure(2))
    site.approve()
    real = site.sent(site.hospital(), replace(first_request(site.bundle, "east"), run="run-1"))
    assert isinstance(shown, Reply)
    assert isinstance(real, Reply)
    assert digest_state(shown.update) == digest_state(real.update)
    assert sum(each["bytes"] for each in summary["payload"].values()) == sent.size_bytes < 0.4 * shared.size_bytes
    assert set(summary["payload"]) == set(sent.names)
    assert set(summary["tensors"]) == set(shared.names)
    text = (tmp_path / "out" / TEXT).read_text()
    assert f"compressed by {method}: " in text
    assert all(name in text for name in [*shared.names, *sent.names])


def test_the_site_remembers_nothing_of_it(make_site: Make, tmp_path: Path) -> None:
    site = make_site("peft.private=['head.*']")
    before = contents(site.folder.path)
    preview(site.folder, site.source, tmp_path / "out")
    assert contents(site.folder.path) == before


def test_the_summary_tells_of_every_tensor_and_metric(make_site: Make, tmp_path: Path) -> None:
    site = make_site()
    made = preview(site.folder, site.source, tmp_path / "out")
    summary = json.loads((tmp_path / "out" / SUMMARY).read_text())
    assert summary == summary_of(made)
    assert set(summary["tensors"]) == set(site.bundle.schema.shared.names)
    assert sum(each["bytes"] for each in summary["tensors"].values()) == site.bundle.schema.shared.size_bytes
    assert summary["frame"]["digest"] == digest_bytes(made.frame)
    assert summary["frame"]["bytes"] == len(made.frame)
    text = (tmp_path / "out" / TEXT).read_text()
    assert all(name in text for name in [*site.bundle.schema.shared.names, "auroc", "nothing was sent"])


def test_the_gate_is_the_real_one(make_site: Make, tmp_path: Path) -> None:
    site = make_site()
    site.set_policy(max_update_norm=1e-9)
    made = preview(site.folder, site.source, tmp_path / "out")
    assert made.answer == Refusal("REFUSED_BY_POLICY")
    assert "norm over" in (tmp_path / "out" / TEXT).read_text()
    site.set_policy(metrics=(), release_histograms=False, methods=("prefix",))
    made = preview(site.folder, site.source, tmp_path / "again")
    assert isinstance(made.answer, Reply)
    evaluation = made.answer.evaluations["validation"]
    assert evaluation.summary is None
    assert {metric.value for metric in evaluation.scores.metrics.values()} == {None}
    assert "method lora" in (tmp_path / "again" / TEXT).read_text()


def test_a_folder_that_is_there_and_a_bundle_without_signature_are_refused(make_site: Make, tmp_path: Path) -> None:
    site = make_site()
    with pytest.raises(UserError, match="new folder"):
        preview(site.folder, site.source, tmp_path)
    (site.source / "endorsement.json").unlink()
    with pytest.raises(BundleError, match="not signed"):
        preview(site.folder, site.source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
