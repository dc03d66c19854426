"""`fedpeft tasks`: every task in one line, with its options, its base models, and what it is measured by."""

import typer


def register(app: typer.Typer) -> None:
    """Add `tasks`."""
    app.command("tasks")(tasks)


def tasks() -> None:
    """List the tasks: what they learn, options, base models, and metrics, the leading one first; no torch."""
    from common import plugins

    for name in plugins.available("common.tasks"):
        for line in describe(name):
            typer.echo(line)


def describe(name: str) -> list[str]:
    """Return four lines on the task `name`."""
    from common import plugins
    from common.method_commands import first_sentence, options_of

    module = plugins.load("common.tasks", name, key="task.kind")
    indent = " " * 4
    return [
        f"{name}: {first_sentence(module.__doc__ or '').partition(': ')[2]}",
        f"{indent}options: {', '.join(options_of(module.build)) or 'none'}",
        f"{indent}base models: {module.build.architecture}",
        f"{indent}measured by: {', '.join(info.label for info in module.INFOS)}",
    ]
