"""Base models that transformers does not have: one file is one `model_type` of a `config.json`.

A module has `model_class()`, transformers' PreTrainedModel for it, with a `config_class`; it imports without torch. Its
`forward(pixel_values)` gives a `last_hidden_state` as transformers' models do.
"""
