"""The README of an ONNX export: Python that needs onnxruntime, numpy and tokenizers, and no torch."""

from client.opening import Opened

LOADING = """\
import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

MODEL = "path/to/this-folder"
texts = ["a row written by the template", "another one"]

with open(f"{MODEL}/task.json", encoding="utf-8") as file:
    task = json.load(file)
tokenizer = Tokenizer.from_file(f"{MODEL}/tokenizer.json")
tokenizer.enable_truncation(task["max_length"])
tokenizer.enable_padding()
session = onnxruntime.InferenceSession(f"{MODEL}/model.onnx")
"""
TEXTS = """
rows = tokenizer.encode_batch(texts)
"""
WORDS = """
words = [text.split() for text in texts]
rows = tokenizer.encode_batch(words, is_pretokenized=True)
"""
RUNNING = """\
logits = session.run(["logits"], {
    "input_ids": np.array([row.ids for row in rows]),
    "attention_mask": np.array([row.attention_mask for row in rows]),
})[0]
"""
PICTURES = """\
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps
from transformers import AutoImageProcessor

MODEL = "path/to/this-folder"
images = ["a-picture.png", "another.jpg"]


def picture(file):
    image = ImageOps.exif_transpose(Image.open(file))
    if image.mode.startswith("I;16"):  # 16-bit grey, in 8 bits
        image = Image.fromarray(((np.asarray(image).astype("uint32") + 128) // 257).astype("uint8"))
    return image.convert("RGB")


with open(f"{MODEL}/task.json", encoding="utf-8") as file:
    task = json.load(file)
processor = AutoImageProcessor.from_pretrained(MODEL, backend="pil")
session = onnxruntime.InferenceSession(f"{MODEL}/model.onnx")
pixels = processor([picture(file) for file in images], return_tensors="np")["pixel_values"].astype(np.float32)
logits = session.run(["logits"], {"pixel_values": pixels})[0]
"""
SOFTMAX = """\
powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
probabilities = powers / powers.sum(axis=-1, keepdims=True)
print(task["labels"], probabilities)"""
SIGMOID = """\
probabilities = 1 / (1 + np.exp(-logits))
print(task["labels"], probabilities)"""
NUMBER = """\
options = task["options"]
predictions = logits * options.get("scale", 1.0) + options.get("offset", 0.0)
print(predictions)"""
TAGS = """\
best, predictions = logits.argmax(axis=-1), []
for number, row in enumerate(rows):
    first = {}
    for place, word in enumerate(row.word_ids):
        if word is not None:
            first.setdefault(word, place)
    tags = [task["labels"][best[number][first[word]]] if word in first else task["labels"][0]
            for word in range(len(words[number]))]
    predictions.append(" ".join(tags))
print(predictions)"""
CODE = {
    "sequence-classification": LOADING + TEXTS + RUNNING + SOFTMAX,
    "multi-label-classification": LOADING + TEXTS + RUNNING + SIGMOID,
    "regression": LOADING + TEXTS + RUNNING + NUMBER,
    "token-classification": LOADING + WORDS + RUNNING + TAGS,
    "image-classification": PICTURES + SOFTMAX,
}
"""By the task's kind; of others the README says what the outputs are, and no more."""


def onnx_readme(opened: Opened) -> str:
    """Return the README."""
    kind = opened.study.task.kind
    code = CODE.get(kind.replace("_", "-"))
    lines = [f"# {opened.study.name}", "", f"`model.onnx`: base model, adapter and head; outputs are logits ({kind})."]
    lines += ["", "```python", code, "```"] if code else []
    lines += ["", "Not a medical device; for research.", ""]
    lines += [f"- {name}: `{digest}`" for name, digest in opened.digests.items()]
    return "\n".join(lines) + "\n"
