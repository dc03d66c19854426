"""A BERT of 2 layers and 48 hidden units that has what the `topics` rows are about, and hardly shows it.

The first units of each word's embedding tell its topic, as a pretrained model's embeddings cluster. They are damped
where attention and feed-forward layers read, and left out of what the last layer shows. So a head alone learns little,
while a low-rank change of the value projections brings the topics to light: a table of strategies for LoRA is about
LoRA. Everything else is random.
"""

from pathlib import Path
from typing import Any  # torch is imported late

from common.files import write_bytes
from common.seeds import generator, integer_seed
from simulations.builtin_rows import topics

POSITIONS = 32
HIDDEN, HIDING = 48, 16
"""Units in all, and those that tell the topic."""
DAMPED = 0.1
CLUSTER, SPREAD = 0.3, 0.1
"""Size of a topic's centre in the hidden units, and of the words around it; the other units have 0.15."""


def vocabulary() -> list[str]:
    """Return the WordPiece vocabulary: BERT's special tokens, then the words of the notes."""
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *topics.words()]


def write(folder: Path) -> None:
    """Write the model with its tokenizer; the bytes are always the same. `config.json` comes last."""
    import torch
    from safetensors.torch import save
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    known = vocabulary()
    config = BertConfig(
        vocab_size=len(known),
        architectures=["BertModel"],
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=POSITIONS,
        initializer_range=0.15,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng(devices=[]):  # transformers draws from the global generator only
        torch.manual_seed(integer_seed(topics.SEED, purpose="topics model"))
        weights = BertModel(config).state_dict()
    write_bytes(folder / "model.safetensors", save(_hidden_topics(weights), metadata={"format": "pt"}))
    tokenizer = BertTokenizerFast(vocab={word: index for index, word in enumerate(known)}, model_max_length=POSITIONS)
    tokenizer.save_pretrained(folder)
    write_bytes(folder / "config.json", config.to_json_string().encode())


def _hidden_topics(weights: dict[str, Any]) -> dict[str, Any]:
    """Put the topics into the first units of the embeddings, and damp these wherever they are read."""
    import torch

    rng = generator(topics.SEED, purpose="topics embeddings")
    centres = rng.normal(0, CLUSTER, (len(topics.TOPICS), HIDING))
    of_words = rng.normal(0, SPREAD, (len(topics.words()), HIDING))
    for word in range(len(of_words)):
        topic = topics.topic_of(word)
        of_words[word] += 0.0 if topic is None else centres[topic]
    changed = {name: tensor.clone() for name, tensor in weights.items()}
    changed["embeddings.word_embeddings.weight"][5:, :HIDING] = torch.tensor(of_words, dtype=torch.float32)
    for name, tensor in changed.items():
        if name.endswith(("query.weight", "key.weight", "value.weight", "intermediate.dense.weight")):
            tensor[:, :HIDING] *= DAMPED
    last = max(name for name in changed if name.endswith("output.LayerNorm.weight") and "attention" not in name)
    changed[last][:HIDING] = 0.0
    return changed
