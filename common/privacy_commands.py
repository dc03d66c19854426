"""`fedpeft privacy plan`: the noise that a wish for privacy needs, what it means, and whether it leaves hope."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # these cost start-up time of every command
    from collections.abc import Sequence

    from rich.table import Table

    from common.privacy._accounting import Accountant
    from common.privacy_plan import Plan, Wish


def register(app: typer.Typer) -> None:
    """Add `privacy` with its command."""
    privacy = typer.Typer(no_args_is_help=True, help="Plan the privacy of patients.")
    privacy.callback()(lambda: None)  # or typer makes the only command the group
    privacy.command("plan")(plan)
    app.add_typer(privacy, name="privacy")


def plan(
    patients: Annotated[str, typer.Option(metavar="N[,N...]", help="Training patients of each hospital.")],
    batch: Annotated[int, typer.Option(help="Patients expected in a step.")],
    rounds: Annotated[int, typer.Option(help="Rounds of the study.")],
    epsilon: Annotated[float, typer.Option(help="What each patient may lose in all, above 0; 1 is strong, 8 is weak.")],
    epochs: Annotated[float, typer.Option(help="Epochs of a round.")] = 1.0,
    delta: Annotated[float, typer.Option(help="Chance left out of the promise; well below 1 / patients.")] = 1e-5,
    runs: Annotated[int, typer.Option(help="Runs over the same patients, those that only choose settings too.")] = 1,
    accountant: Annotated[str, typer.Option(help="pld (tight) or rdp.")] = "pld",
    parameters: Annotated[int, typer.Option(help="Numbers that are trained; default: heart-lora's.")] = 74_498,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")] = False,
) -> None:
    """Find the noise that keeps a patient's loss to epsilon, and say what it leaves of the signal; trains nothing."""
    from common.privacy_plan import Wish, plan_for

    wish = Wish(
        batch=batch,
        rounds=rounds,
        epsilon=epsilon,
        epochs=epochs,
        delta=delta,
        runs=runs,
        accountant=_accountant(accountant),
        parameters=parameters,
    )
    plans = [plan_for(count, wish) for count in _counts(patients)]
    if as_json:
        _print_json(plans, wish)
        return
    _show(plans, wish)


def _show(plans: "Sequence[Plan]", wish: "Wish") -> None:
    from rich.console import Console

    from common.privacy_plan_words import said_of

    if len(plans) > 1:
        Console(highlight=False, emoji=False).print(_table(plans))
    for sentence in said_of(plans, wish):
        typer.echo(f"- {sentence}")


def _table(plans: "Sequence[Plan]") -> "Table":
    from rich.table import Table

    from common.privacy_plan_words import HEADER, row_of

    table = Table()
    for name in HEADER:
        table.add_column(name, justify="right", no_wrap=True)
    for each in plans:
        table.add_row(*row_of(each))
    return table


def _print_json(plans: "Sequence[Plan]", wish: "Wish") -> None:
    import json
    from dataclasses import asdict

    from common.privacy_plan import together

    hospitals = [{**asdict(each), "verdict": each.verdict} for each in plans]
    content = {"format": 1, "wish": asdict(wish), "hospitals": hospitals, "noise_to_signal_together": together(plans)}
    typer.echo(json.dumps(content, indent=2))


def _counts(text: str) -> list[int]:
    """Return the patients of each hospital.

    >>> _counts("180, 30")
    [180, 30]
    """
    from common.errors import UserError

    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise UserError(f"--patients is {text!r}, but has to be a whole number or several: --patients 180,170,90,30")
    return [int(word) for word in words]


def _accountant(name: str) -> "Accountant":
    from common.errors import UserError

    known: dict[str, Accountant] = {"pld": "pld", "rdp": "rdp"}
    if name not in known:
        raise UserError(f"--accountant is {name!r}, but has to be pld or rdp")
    return known[name]
