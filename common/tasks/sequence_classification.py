"""Sequence classification: masked mean of the last hidden states, then one linear layer.

Sentence encoders such as MiniLM were trained with mean pooling (Reimers and Gurevych 2019,
https://arxiv.org/abs/1908.10084); their first-token pooler is far worse as a feature. Binary and multi-class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # tokenizers are untyped

from common.tasks import Example
from common.usage import Usage

if TYPE_CHECKING:
    from torch import Tensor, nn

SNIPPET = """\
import json

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

BASE_MODEL = "path/to/base-model"
ADAPTER = "path/to/this-folder"
HEAD = $head_files
texts = ["a row written by the template", "another one"]

tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
base = AutoModel.from_pretrained(BASE_MODEL)
room = getattr(base.config, "max_position_embeddings", 10**9)
model = PeftModel.from_pretrained(base, ADAPTER).eval()
virtual_tokens = getattr(model.active_peft_config, "num_virtual_tokens", None) or 0
with open(f"{ADAPTER}/task.json", encoding="utf-8") as file:
    labels = json.load(file)["labels"]
head = torch.nn.Linear(base.config.hidden_size, len(labels))
tensors = {name: tensor for file in HEAD for name, tensor in load_file(file).items()}
head.load_state_dict({"weight": tensors["head.weight"], "bias": tensors["head.bias"]})

tokenizer.padding_side = "right"
max_length = min($max_length, room - virtual_tokens)
batch = tokenizer(texts, truncation=True, max_length=max_length, padding=True, return_tensors="pt")
inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
mask = inputs["attention_mask"].unsqueeze(-1).float()
with torch.no_grad():
    hidden = model(**inputs).last_hidden_state
    hidden = hidden[:, -mask.shape[1] :].float()  # virtual tokens, if any, come first
    pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    probabilities = head(pooled).softmax(dim=-1)
for text, row in zip(texts, probabilities.tolist()):
    print(text, dict(zip(labels, row)))"""


@dataclass(frozen=True)
class SequenceClassification:
    """No options."""

    def build_head(self, *, hidden_size: int, classes: int) -> nn.Module:
        """Return Linear(hidden_size, classes): `head.weight` (classes, hidden_size), `head.bias` (classes,)."""
        from torch import nn

        return nn.Linear(hidden_size, classes)

    def encode(self, tokenizer: Any, texts: Sequence[str], targets: Sequence[int], *, max_length: int) -> list[Example]:
        """Tokenise with special tokens, cut at `max_length`."""
        if not texts:
            return []
        encoded = tokenizer(list(texts), truncation=True, max_length=max_length, padding=False)
        pairs = zip(encoded["input_ids"], targets, strict=True)
        return [Example(tuple(ids), int(target)) for ids, target in pairs]

    def collate(self, examples: Sequence[Example], *, pad_id: int) -> Mapping[str, Tensor]:
        """Return `input_ids` and `attention_mask` (batch, longest), `targets` (batch,), all int64."""
        import torch

        longest = max(len(e.input_ids) for e in examples)
        rows = [[*e.input_ids, *[pad_id] * (longest - len(e.input_ids))] for e in examples]
        mask = [[1] * len(e.input_ids) + [0] * (longest - len(e.input_ids)) for e in examples]
        return {
            "input_ids": torch.tensor(rows, dtype=torch.int64),
            "attention_mask": torch.tensor(mask, dtype=torch.int64),
            "targets": torch.tensor([e.target for e in examples], dtype=torch.int64),
        }

    def logits(self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return head(masked mean), pooled and classified in float32.

        Methods that put virtual tokens into the sequence return more positions: the last ones are the text's.
        """
        import torch

        mask = batch["attention_mask"]
        hidden = model(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        hidden = hidden[:, hidden.shape[1] - mask.shape[1] :].float()
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        pooled: Tensor = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        # Autocast would classify in half precision, and ranking metrics would see ties that are not there.
        with torch.autocast(pooled.device.type, enabled=False):
            result: Tensor = head(pooled)
        return result

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean cross-entropy."""
        from torch.nn import functional

        return functional.cross_entropy(logits, batch["targets"])

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the softmax over classes."""
        return logits.softmax(dim=-1)


build = SequenceClassification
usage = Usage(pooling="masked mean of the last hidden states", pipeline_tag="text-classification", snippet=SNIPPET)
