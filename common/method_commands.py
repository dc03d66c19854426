"""`fedpeft methods`: every PEFT method in one line, with its options and whether the mean of adapters is exact."""

from dataclasses import fields, is_dataclass

import typer


def register(app: typer.Typer) -> None:
    """Add `methods`."""
    app.command("methods")(methods)


def methods() -> None:
    """List the PEFT methods, what they do, their options, and whether averaging them is exact; needs no torch."""
    from common import plugins

    for name in plugins.available("common.peft_methods"):
        for line in describe(name):
            typer.echo(line)


def describe(name: str) -> list[str]:
    """Return three lines on the method `name`: what it does, its options, its average."""
    from common import plugins

    package = "common.peft_methods"
    module = plugins.load(package, name, key="peft.method")
    method = plugins.build(package, name, {}, key="peft.method")
    average = "exact" if method.aggregates_linearly else "an approximation"
    return [
        f"{name:<12}  {first_sentence(module.__doc__ or '')}",
        f"{'':<12}    options: {', '.join(options_of(module.build)) or 'none'}",
        f"{'':<12}    the mean of adapters is {average}",
    ]


def first_sentence(text: str) -> str:
    """Return the first sentence of a docstring, in one line.

    >>> first_sentence("One thing: a. b.c is\\nlong. And more.")
    'One thing: a.'
    """
    start = " ".join(text.split("\n\n", 1)[0].split())
    sentence, dot, _ = start.partition(". ")
    return sentence + "." if dot else start


def options_of(kind: type) -> list[str]:
    """Return a plugin's options with their defaults, as a study would write them."""
    from dataclasses import MISSING

    return [
        f"{field.name} ({_written(field.default if field.default_factory is MISSING else field.default_factory())})"
        for field in fields(kind)
    ]


def _written(value: object) -> str:
    r"""Return a default as a study would write it.

    >>> _written("\n")
    '"\\n"'
    >>> _written(None), _written(False), _written({"method": "lora"}), _written(("a", 2))
    ('unset', 'false', '{method = "lora"}', '["a", 2]')
    """
    import json

    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: given for field in fields(value) if (given := getattr(value, field.name))}
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_written, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "unset", True: "true", False: "false"}[value]
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
