"""Pictures of what bnnp writes, as PNG and PDF.

\b
python tools/plot.py training                     the directory mode 2 ran in
python tools/plot.py training run7 --out figures
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bnnp.errors import BnnpError

PATH = click.Path(path_type=Path)


class Group(click.Group):
    """A mistake in the files is one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except BnnpError as error:
            click.echo(f"ERROR: {error}", err=True)
            sys.exit(error.exit_code)


@click.group(cls=Group, help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """One verb for each family of pictures; each is a module of `plotting`."""


@main.command()
@click.argument("directory", type=PATH, default=Path())
@click.option("--out", type=PATH, help="Where the files go.  [default: the directory itself]")
@click.option("--epoch", type=int, help="Predictions of this epoch.  [default: the best one]")
def training(directory: Path, out: Path | None, epoch: int | None) -> None:
    """Learning curves, parity, error histograms, and a list of the worst structures, of mode 2."""
    from plotting.training import draw

    for path in draw(directory, directory if out is None else out, epoch):
        click.echo(f"Written: {path}")


if __name__ == "__main__":
    main()
