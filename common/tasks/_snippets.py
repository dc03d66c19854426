"""Parts of the Python that model cards show, for tasks that read texts: what every one of them begins with.

Filled in by `common.usage`: `$head_files` and `$max_length`.
"""

LOADING = """\
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
"""
"""From the files to `model`, with the base model and the adapter in it."""

LABELS = """\
with open(f"{ADAPTER}/task.json", encoding="utf-8") as file:
    labels = json.load(file)["labels"]
head = torch.nn.Linear(base.config.hidden_size, len(labels))
"""
"""From `task.json` to `head`, with one output for each of `labels`."""

WEIGHTS = """\
tensors = {name: tensor for file in HEAD for name, tensor in load_file(file).items()}
head.load_state_dict({"weight": tensors["head.weight"], "bias": tensors["head.bias"]})

tokenizer.padding_side = "right"
max_length = min($max_length, room - virtual_tokens)
"""
"""The weights of `head`, and what limits the length of a text."""

STATES = """\
batch = tokenizer(texts, truncation=True, max_length=max_length, padding=True, return_tensors="pt")
inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
mask = inputs["attention_mask"].unsqueeze(-1).float()
with torch.no_grad():
    hidden = model(**inputs).last_hidden_state
    hidden = hidden[:, -mask.shape[1] :].float()  # virtual tokens, if any, come first
"""
"""From `texts` to `hidden`, the last states, and `mask`, within `torch.no_grad`."""


def of_classes(activation: str) -> str:
    """Return the whole of it for a task with a probability of each label: `activation` is of the outputs."""
    ends = f"""\
    pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    probabilities = head(pooled).{activation}
for text, row in zip(texts, probabilities.tolist()):
    print(text, dict(zip(labels, row)))"""
    return LOADING + LABELS + WEIGHTS + STATES + ends
