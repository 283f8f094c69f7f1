"""Chemical symbols on the command line."""

from __future__ import annotations

import click
from ase.data import atomic_numbers


def parse_elements(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    """Symbols of an option, by blanks or commas; click's error for what is none."""
    symbols = value.replace(",", " ").split() if value else None
    for symbol in symbols or []:
        if symbol not in atomic_numbers or symbol == "X":
            raise click.BadParameter(f"`{symbol}` is no chemical symbol")
    return symbols
