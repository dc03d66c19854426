"""`fedpeft site privacy`: what was spent of the patients here, and what is left. Nothing of it is ever sent."""

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The site's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]


def register(site: typer.Typer) -> None:
    """Add the command to `fedpeft site`."""
    site.command()(privacy)


def privacy(folder: Folder, as_json: AsJson = False) -> None:
    """Show how much of the privacy of its patients the site has spent, over all studies, and how much is left."""
    import json

    from client.approval import approvals
    from client.explain_privacy import privacy_lines
    from client.ledger import Limit, open_ledger
    from client.ledger_overview import overview
    from client.policy import read_policy
    from client.settings import read_settings
    from client.site_folder import SiteFolder

    place = SiteFolder(folder)
    read_settings(place)  # is it a site?
    policy = read_policy(place.policy)
    found = overview(*open_ledger(place).read(), Limit(policy.privacy_epsilon, policy.privacy_delta))
    names = {each.approval.study: each.approval.name for each in approvals(place)}
    for line in [json.dumps(found.to_json(), indent=2, allow_nan=False)] if as_json else privacy_lines(found, names):
        typer.echo(line)
