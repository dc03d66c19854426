"""The SuperNode's app: each message goes to the site that the context names, and no failure says more than a word."""

from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict, UserConfigValue

from client.flower_app import app, site_of
from common import wire
from common.errors import UserError
from common.protocol import Refusal, Reply, Request, RoundPlan
from common.state import AdapterSchema
from simulations import stages
from simulations.catalogue import load
from simulations.export_sites import export_sites
from simulations.folder import RunFolder
from simulations.inprocess import task_identity
from simulations.virtual import VirtualSites


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> VirtualSites:
    return stages.start(load("quick"), RunFolder(tmp_path_factory.mktemp("app") / "run"), threads=1, device="cpu")


@pytest.fixture(scope="module")
def settings(sites: VirtualSites) -> dict[str, Path]:
    """The settings file of each site, as a SuperNode is given it."""
    return export_sites(sites.folder.path, sites.folder.path.parent / "sites")


def context(**node_config: Path) -> Context:
    config: dict[str, UserConfigValue] = {key: str(path) for key, path in node_config.items()}
    return Context(run_id=1, node_id=2, node_config=config, state=RecordDict(), run_config={})


def sent(content: RecordDict, kind: str) -> Message:
    message = wire.message(content, kind=kind, node=2, round_number=1)
    message.metadata.__dict__["_message_id"] = "1"
    return message


def evaluation(sites: VirtualSites) -> RecordDict:
    bundle = sites.bundle
    shared = {name: bundle.initial[name] for name in bundle.schema.shared.names}
    request = Request(
        kind="evaluate",
        run="r",
        round=bundle.study.federation.rounds + 1,
        seed=bundle.study.seed,
        study=bundle.study.digest,
        schema=bundle.schema.digest,
        plan=RoundPlan(),
        splits=("validation", "test"),
        shared=shared,
    )
    return wire.encode_request(request, wire.pack_adapter(shared, bundle.schema))


def test_the_site_of_the_context_answers(sites: VirtualSites, settings: dict[str, Path]) -> None:
    with task_identity():
        names = [app(sent(wire.encode_query(), "query"), context(settings=settings[s])) for s in ("west", "east")]
        reply = app(sent(evaluation(sites), "evaluate"), context(settings=settings["west"]))
    assert [wire.decode_name(message.content) for message in names] == ["west", "east"]
    answer = wire.decode_answer(reply.content, AdapterSchema(()), classes=2)
    assert isinstance(answer, Reply)
    assert answer.examples == len(sites.rows["west"].train)


def test_no_text_of_a_failure_leaves(sites: VirtualSites, tmp_path: Path) -> None:
    with task_identity():
        replies = [
            app(sent(content, kind), context(settings=tmp_path / "p-1.toml"))
            for content, kind in [(wire.encode_query(), "query"), (evaluation(sites), "evaluate")]
        ]
    for reply in replies:
        assert wire.decode_answer(reply.content, AdapterSchema(()), classes=2) == Refusal("TRAINING_FAILED")
        assert "p-1" not in str(reply.content)


def test_a_supernode_without_settings_is_told_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--node-config"):
        site_of(context())
    with pytest.raises(UserError, match="no settings file"):
        site_of(context(settings=tmp_path / "settings.toml"))
