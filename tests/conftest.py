"""What every test run shares: no network, one thread, and no stopwatch on hypothesis, since machines are shared."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, settings

from client.data import Rows
from client.policy_text import toml_value
from common import keys
from common.bundle import Bundle
from common.errors import StudyError
from common.plugins import register_strategies
from common.preparation import prepare
from common.quiet import silence
from common.study import Study
from common.workbench import Workbench, open_workbench
from simulations.catalogue import load
from simulations.virtual import read_sites

if TYPE_CHECKING:
    from torch import nn
    from transformers import ResNetConfig

# Before any test imports flwr or torch, which read these then.
silence(os.environ)
os.environ.setdefault("OMP_NUM_THREADS", "1")

# In CI the same examples each time, so that a red run is about the change; elsewhere hypothesis goes on looking.
settings.register_profile(
    "fedpeft", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fedpeft")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take `--plugins DIR`: the contract tests then hold the strategies of that folder to what they claim, too."""
    parser.addoption("--plugins", dest="own_strategies", action="append", default=[], type=Path, metavar="DIR")


def pytest_configure(config: pytest.Config) -> None:
    """Make those strategies known before the tests that are parametrised over strategies are collected."""
    try:
        register_strategies(config.getoption("own_strategies"))
    except StudyError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest file that is among the last, so that no process of the tests is left with it at the end.

    xdist would begin with the file of the most tests (hence --no-loadscope-reorder in the Makefile)."""
    items.sort(key=lambda item: item.path.name != "test_docs_commands.py")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the generated base model: 2 layers, 32 units, made in a fraction of a second."""
    from simulations.tiny_models import tiny_bert

    folder = tmp_path_factory.mktemp("base") / "tiny-bert"
    tiny_bert.write(folder)
    return folder


def random_model(kind: str) -> "nn.Module":
    """Return a frozen random model of 2 layers, or stages, and 32 units, the same each time.

    kind: `bert`, `llama`, `gpt2`, `vit` or `resnet`; `llama-lm` and `gpt2-lm` write text with tied embeddings.
    """
    import torch
    from transformers import (
        BertConfig,
        BertModel,
        GPT2Config,
        GPT2LMHeadModel,
        GPT2Model,
        LlamaConfig,
        LlamaForCausalLM,
        LlamaModel,
        ResNetModel,
        ViTConfig,
        ViTModel,
    )

    text = {"vocab_size": 60, "bos_token_id": 1, "eos_token_id": 2, "attn_implementation": "eager"}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.15}
    llama = {**text, **sizes, "intermediate_size": 48, "num_key_value_heads": 2}
    gpt2 = {**text, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.15}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        models = {
            "bert": lambda: BertModel(BertConfig(**text, **sizes, intermediate_size=64), add_pooling_layer=False),
            "llama": lambda: LlamaModel(LlamaConfig(**llama)),
            "llama-lm": lambda: LlamaForCausalLM(LlamaConfig(**llama, tie_word_embeddings=True)),
            "gpt2": lambda: GPT2Model(GPT2Config(**gpt2)),
            "gpt2-lm": lambda: GPT2LMHeadModel(GPT2Config(**gpt2)),
            "resnet": lambda: with_statistics(ResNetModel(tiny_resnet_config())),
            "vit": lambda: ViTModel(
                ViTConfig(**sizes, intermediate_size=64, image_size=16, patch_size=8, attn_implementation="eager"),
                add_pooling_layer=False,
            ),
        }
        model: nn.Module = models[kind]().requires_grad_(False).eval()
    return model


def tiny_resnet_config() -> "ResNetConfig":
    """Two stages of BatchNorm and convolutions of 1x1, 3x3 and 7x7, for images of 32 x 32 pixels."""
    from transformers import ResNetConfig

    return ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic")


def with_statistics(model: "nn.Module") -> "nn.Module":
    """Return `model` with running statistics as those of a trained one: no mean is 0, and no variance 1."""
    import torch

    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            torch.nn.init.uniform_(buffer, 0.2, 0.8)
    return model


@pytest.fixture(scope="session")
def make_random_model() -> "Callable[[str], nn.Module]":
    """`make_random_model("bert")`: see `random_model`."""
    return random_model


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Study]:
    """`make_study("section.key=value", ...)`: the bundled `quick` with few resamples, and with these overrides."""

    def make(*overrides: str) -> Study:
        fast = ["evaluation.resamples=20", "training.precision=fp32", "federation.sites=['east','north','west']"]
        return load("quick", overrides=[*fast, *overrides])

    return make


@pytest.fixture(scope="session")
def site_rows(make_study: Callable[..., Study], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Rows]:
    """The generated rows of each site of `quick`."""
    return read_sites(make_study(), tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="session")
def open_bench(make_study: Callable[..., Study], tiny_model: Path) -> Callable[..., Workbench]:
    """`open_bench("section.key=value", ..., seed=0)`: a workbench of the test's own, in its initial state."""

    def make(*overrides: str, seed: int = 0) -> Workbench:
        return open_workbench(make_study(*overrides), tiny_model, seed=seed)

    return make


@pytest.fixture(scope="session")
def make_bundle(
    make_study: Callable[..., Study], tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Bundle]:
    """`make_bundle("section.key=value", ...)`: the prepared study, the same object for the same overrides."""

    @cache
    def make(*overrides: str) -> Bundle:
        return prepare(make_study(*overrides), tiny_model, tmp_path_factory.mktemp("bundle") / "it")

    return make


@pytest.fixture(scope="session")
def coordinator_key(tmp_path_factory: pytest.TempPathFactory) -> Ed25519PrivateKey:
    """The signing key of a coordinator."""
    return keys.make_signing_key(tmp_path_factory.mktemp("coordinator") / "signing.key")


@pytest.fixture(scope="session")
def join_file(coordinator_key: Ed25519PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The coordinator's join.toml, for a front door that nobody opens."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    build = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    build = build.serial_number(1).not_valid_before(datetime.now(UTC)).not_valid_after(datetime.now(UTC) + timedelta(1))
    content = {
        "name": "Test coordinator",
        "address": "localhost:1",
        "ca": build.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(),
        "signing_key": keys.public_text(coordinator_key),
    }
    path = tmp_path_factory.mktemp("join") / "join.toml"
    path.write_text("".join(f"{key} = {toml_value(value)}\n" for key, value in content.items()))
    return path
