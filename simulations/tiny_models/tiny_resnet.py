"""A ResNet of 2 stages and 32 channels, with BatchNorm, that reads images of 32 x 32 pixels."""

from pathlib import Path

from simulations.tiny_models._images import write_image_model


def write(folder: Path) -> None:
    """Write the model and its preprocessor_config.json; the bytes are always the same."""
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(
        architectures=["ResNetModel"], embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic"
    )
    write_image_model(folder, config, lambda: ResNetModel(config))
