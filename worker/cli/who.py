"""Who is acting, for the records."""

import getpass
import os
from typing import Annotated

import typer

By = Annotated[str | None, typer.Option(metavar="NAME", help="Who says so; you, if not given.")]


def actor(by: str | None) -> str:
    """The name given, else that of the operating system's user."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers; OSError since 3.13
        return f"uid {os.getuid()}"
