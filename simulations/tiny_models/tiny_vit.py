"""A ViT of 2 layers and 32 hidden units that reads images of 32 x 32 pixels in patches of 8 x 8."""

from pathlib import Path

from simulations.tiny_models._images import write_image_model


def write(folder: Path) -> None:
    """Write the model and its preprocessor_config.json; the bytes are always the same."""
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        architectures=["ViTModel"],
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.15,  # 0.02 suits 768 units: at 32 all images would look alike to the head
    )
    write_image_model(folder, config, lambda: ViTModel(config, add_pooling_layer=False))
