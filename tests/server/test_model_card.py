import json
import re
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest

from server.model_card import data_table, front_matter, render_card
from server.report.render import render


@pytest.fixture
def results():
    return runpy.run_path(str(Path(__file__).parent / "report" / "example.py"))["results"]()


def test_the_front_matter_is_yaml_that_reads_back(results):
    import yaml

    results["study"]["peft"]["method"] = 'x: "y"\n- z #'
    results["study"]["base_model"]["source"] = "hub:org/name@abc123"
    found = yaml.safe_load(front_matter(results).strip("-"))
    assert found["library_name"] == "peft"
    assert found["base_model"] == "org/name"
    assert found["base_model_revision"] == "abc123"
    assert found["base_model_digest"] == results["digests"]["base_model"]
    assert found["tags"][-1] == 'x: "y"\n- z #'


def test_the_place_of_the_base_model_on_somebodys_disk_is_not_told(results):
    results["study"]["base_model"]["source"] = "dir:secret/place"
    assert "secret" not in render_card(results)


def test_the_card_says_what_it_is_not_and_what_it_was_trained_on(results):
    card = render_card(results)
    for part in (
        "Not a medical device",
        "459 rows at 4 hospitals in 8 rounds",
        "No formal privacy guarantee",
        "0.51 %",
    ):
        assert part in card
    assert [row[1].text for row in data_table(results).rows] == ["151", "147", "61", "100"]


@pytest.mark.parametrize("linear", [True, False])
def test_card_and_report_warn_of_an_approximate_mean(linear, results):
    results["parameters"]["aggregates_linearly"] = linear
    text = "makes of prefix tensors only approximates the mean of the hospitals"
    assert (text in render_card(results)) == (not linear)
    assert (text in render(results)) == (not linear)


def code_of(card):
    found = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (["shared"], ["this-folder/head.safetensors"]),
        (["private"], ["path/to/private.safetensors"]),
        (["private", "shared"], ["this-folder/head.safetensors", "path/to/private.safetensors"]),
    ],
)
def test_the_code_reads_the_head_where_it_is(results, groups, files):
    results["export"]["head"] = groups
    results["study"]["peft"]["private"] = ["head.*"] if "private" in groups else []
    card = render_card(results)
    (line,) = re.findall(r"^HEAD = (.*)$", code_of(card), flags=re.MULTILINE)
    assert eval(line, {"ADAPTER": "this-folder"}) == files
    for part in ("head.\\* stay private", "--private path/to/own-folder", "three paths"):
        assert (part in card) == ("private" in groups)


def test_a_folder_that_peft_cannot_load_has_no_code_for_it(results):
    import yaml

    results["export"]["peft"] = False
    results["study"]["peft"]["private"] = ["*.lora_B.*"]
    card = render_card(results)
    assert code_of(card) is None
    assert "peft alone cannot load this folder" in card
    assert "fedpeft predict --adapter" in card
    assert "library_name" not in yaml.safe_load(front_matter(results).strip("-"))


def test_hostile_names_are_no_markup(results):
    results["study"]["name"] = "x](http://e) <b>\n# y"
    results["study"]["data"]["template"] = "```\n# z"
    card = render_card(results)
    assert "````\n```\n# z\n````" in card
    outside = re.sub(r"^(```+)\w*\n.*?^\1$", "", card, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"<(?!/?sup>)|^# [yz]", re.sub(r"\\.", "", outside), flags=re.MULTILINE)


def tiny_base(folder):
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "man", "woman", "old", "young", "pain", "none"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=24,
    )
    BertModel(config).eval().save_pretrained(folder)


def tiny_adapter(method, base, folder):
    """Save an adapter with every tensor moved, and a head; return the model and the head's arrays."""
    import peft
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModel

    configs = {
        "lora": lambda: peft.LoraConfig(task_type="FEATURE_EXTRACTION", r=2, target_modules=["query", "value"]),
        "prefix": lambda: peft.PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=3),
        "prompt": lambda: peft.PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=3),
    }
    model = peft.get_peft_model(AutoModel.from_pretrained(base), configs[method]()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.5 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    head = {"head.weight": torch.randn(2, 16), "head.bias": torch.randn(2)}
    save_file(head, folder / "head.safetensors")
    (folder / "task.json").write_text(json.dumps({"kind": "sequence-classification", "labels": ["no", "yes"]}))
    return model, head["head.weight"].numpy(), head["head.bias"].numpy()


def expected(model, weight, bias, tokenizer, text):
    """One text alone, without padding: mean of the text's positions, linear, softmax, in numpy."""
    import torch

    ids = tokenizer(text)["input_ids"]
    with torch.no_grad():
        batch = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.int64)}
        hidden = model(**batch).last_hidden_state[0].numpy().astype(np.float64)
    logits = weight @ hidden[-len(ids) :].mean(axis=0) + bias
    return np.exp(logits) / np.exp(logits).sum()


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft reads the old name
@pytest.mark.parametrize("method", ["lora", "prefix", "prompt"])
def test_the_snippet_runs_as_it_is_with_two_paths(results, method, tmp_path, capsys):
    import torch
    from transformers import AutoTokenizer

    base, adapter = tmp_path / "base", tmp_path / "adapter"
    base.mkdir()
    adapter.mkdir()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(0)
        tiny_base(base)
        model, weight, bias = tiny_adapter(method, base, adapter)
    code = code_of(render_card(results))
    texts = ["man old pain", "woman", "young man none pain old"]
    code = code.replace("path/to/base-model", str(base)).replace("path/to/this-folder", str(adapter))
    code = code.replace('["a row written by the template", "another one"]', repr(texts))
    names = {}
    exec(compile(code, "snippet", "exec"), names)
    tokenizer = AutoTokenizer.from_pretrained(base)
    for text, row in zip(texts, names["probabilities"].numpy(), strict=True):
        np.testing.assert_allclose(row, expected(model, weight, bias, tokenizer, text), atol=1e-5)
    assert capsys.readouterr().out.count("'yes'") == 3
