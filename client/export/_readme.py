"""The README of a model that was exported whole: what it is, and Python that uses it."""

import re

from client.opening import Opened
from common.errors import UserError
from common.usage import usage_of

PLAIN = (
    ("from peft import PeftModel\n", ""),
    ('BASE_MODEL = "path/to/base-model"\n', ""),
    ("BASE_MODEL", "ADAPTER"),
    ("model = PeftModel.from_pretrained(base, ADAPTER).eval()", "model = base.eval()"),
    ('virtual_tokens = getattr(model.active_peft_config, "num_virtual_tokens", None) or 0', "virtual_tokens = 0"),
    ("ADAPTER", "MODEL"),
)
"""From an adapter's code (`common.usage`) to that of a plain model."""


def merged_readme(opened: Opened) -> str:
    """Return the README of a merged model, with code that needs torch, transformers and safetensors."""
    files = ['f"{ADAPTER}/head.safetensors"'] if any(n.startswith("head.") for n in opened.bench.parameters) else []
    usage = usage_of(opened.study.task.kind)
    code = usage.code(max_length=opened.study.task.max_length, head_files=files)
    for old, new in PLAIN:
        code = code.replace(old, new)
    if re.search(r"\bpeft\b|PeftModel", code):
        raise UserError(f"task.kind = {opened.study.task.kind!r}: its usage cannot be written without peft")
    text = "The adapter is in the weights: this is a plain transformers model, with the task's head beside it."
    return _page(opened, text, usage.warning, code)


def int8_readme(opened: Opened) -> str:
    """Return the README of a model in 8 bits."""
    text = (
        "Weights of linear layers and word embeddings are whole numbers of 8 bits with one scale for each output "
        "(`<name>.scale`): w = scale * q. fedpeft reads it:\n\n"
        "```\nfedpeft predict --adapter this-folder --data rows.csv --out predictions.csv\n"
        "fedpeft serve --adapter this-folder\n```"
    )
    return _page(opened, text, usage_of(opened.study.task.kind).warning, "")


def _page(opened: Opened, text: str, warning: str, code: str) -> str:
    lines = [f"# {opened.study.name}", "", text]
    lines += ["", warning] if warning else []
    lines += ["", "```python", code, "```"] if code else []
    lines += ["", "Not a medical device; for research.", "", *_digests(opened)]
    return "\n".join(lines) + "\n"


def _digests(opened: Opened) -> list[str]:
    return [f"- {name}: `{digest}`" for name, digest in opened.digests.items()]
