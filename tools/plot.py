"""Pictures of what bnnp writes, as PNG and PDF.

\b
bnnp plot training                     the directory mode 2 ran in
bnnp plot training run7 --out figures
bnnp plot symmetry                     functions of mode 1, their values
bnnp plot errors                       mode 3: errors and sigmas by group
bnnp plot parity                       mode 3: predictions against references
bnnp plot report run7                  one page with all: run7/report.html
bnnp plot rdf rdf.out dft_rdf.out      of bnnp analyze; adf likewise
bnnp plot md                           the directory molecular dynamics ran in
bnnp plot loop                         a campaign of `bnnp --loop`
bnnp plot transport kappa.out          of bnnp analyze --transport
bnnp plot phonons                      of bnnp phonons, with bands of sigma
bnnp plot uncertainty test --outside 1200K   where mode 3 ran, with references
"""

from __future__ import annotations

from pathlib import Path

import click

from bnnp.command import SETTINGS, Group, say
from bnnp.errors import InputError

PATH = click.Path(path_type=Path)


class Pictures(Group):
    """The verbs; without matplotlib they say what to install."""

    def work(self, ctx: click.Context) -> object:
        """Run the verb."""
        try:
            return super().work(ctx)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "matplotlib":
                raise
            raise InputError(
                "matplotlib is not installed, and it draws the pictures. Install it with `pip install "
                "matplotlib`, or bnnp with `pip install '.[plots]'`, then run the same command again."
            ) from None


@click.group("plot", cls=Pictures, help=__doc__, context_settings=SETTINGS)
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
        say(f"Written: {path}")


@main.command()
@click.argument("files", nargs=-1, required=True, type=PATH)
@click.option("--label", "labels", multiple=True, help="For the legend, one a file.")
@click.option(
    "--out", type=PATH, default=Path("rdf"), show_default=True, help="Files are OUT.png and OUT.pdf."
)
def rdf(files: tuple[Path, ...], labels: tuple[str, ...], out: Path) -> None:
    """Radial distribution functions of one file or several, total and partial, with bands of 95 %."""
    _distributions("rdf", files, labels, out)


@main.command()
@click.argument("files", nargs=-1, required=True, type=PATH)
@click.option("--label", "labels", multiple=True, help="For the legend, one a file.")
@click.option(
    "--out", type=PATH, default=Path("adf"), show_default=True, help="Files are OUT.png and OUT.pdf."
)
def adf(files: tuple[Path, ...], labels: tuple[str, ...], out: Path) -> None:
    """Bond-angle distributions, the same way."""
    _distributions("adf", files, labels, out)


def _distributions(kind: str, files: tuple[Path, ...], labels: tuple[str, ...], out: Path) -> None:
    from plotting.distributions import draw

    for path in draw(kind, files, labels, out):
        say(f"Written: {path}")


@main.command()
@click.argument("path", type=PATH, default=Path())
@click.option("--out", type=PATH, help="Files are OUT.png and OUT.pdf.  [default: md beside md.out]")
def md(path: Path, out: Path | None) -> None:
    """Temperature, energies, conserved quantity, pressure and uncertainty over the time of a run."""
    from plotting.dynamics import draw

    beside = path if path.is_dir() else path.parent
    for written in draw(path, beside / "md" if out is None else out):
        say(f"Written: {written}")


@main.command()
@click.argument("directory", type=PATH, default=Path())
@click.option("--out", type=PATH, help="Files are OUT.png and OUT.pdf.  [default: loop in the directory]")
def loop(directory: Path, out: Path | None) -> None:
    """Errors, thresholds, labels and events of active learning by generation."""
    from plotting.loop import draw

    for path in draw(directory, directory / "loop" if out is None else out):
        say(f"Written: {path}")


@main.command()
@click.argument("files", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, default=Path("transport"), show_default=True)
def transport(files: tuple[Path, ...], out: Path) -> None:
    """Correlation of a flux and its integral, from kappa.out, viscosity.out, conductivity.out."""
    from plotting.transport import draw

    for path in draw(files, out):
        say(f"Written: {path}")


@main.command()
@click.argument("prefix", default="phonons")
@click.option("--out", type=PATH, help="Files are OUT_bands.png, ...  [default: the prefix]")
def phonons(prefix: str, out: Path | None) -> None:
    """Bands and density of states, thermal properties, of the files PREFIX_*.out of bnnp phonons."""
    from plotting.phonons import draw

    for path in draw(prefix, Path(prefix) if out is None else out):
        say(f"Written: {path}")


@main.command()
@click.argument("directories", type=PATH, nargs=-1)
@click.option("--out", type=PATH, help="Where the files go.  [default: the first directory]")
@click.option(
    "--outside", multiple=True, metavar="NAME", help="A set that is out of the domain; may be repeated."
)
def uncertainty(directories: tuple[Path, ...], out: Path | None, outside: tuple[str, ...]) -> None:
    """Standard deviations of mode 3 beside errors: a text report and one figure.

    Each directory is a set; one directory alone has a set for each group of its structures.
    """
    from plotting.uncertainty import draw

    places = directories or (Path(),)
    for path in draw(places, places[0] if out is None else out, outside):
        say(f"Written: {path}")


@main.command()
@click.argument("directory", type=PATH, default=Path())
@click.option("--out", type=PATH, help="Where the files go.  [default: the directory itself]")
def symmetry(directory: Path, out: Path | None) -> None:
    """Shapes of the symmetry functions, and the distributions of their values, of mode 1."""
    from plotting.symmetry import draw

    for path in draw(directory, directory if out is None else out):
        say(f"Written: {path}")


@main.command()
@click.argument("directory", type=PATH, default=Path())
@click.option("--out", type=PATH, help="Where the files go.  [default: the directory itself]")
def errors(directory: Path, out: Path | None) -> None:
    """Errors of energies and forces by group beside the standard deviations, of mode 3."""
    from plotting.prediction import draw_errors

    for path in draw_errors(directory, directory if out is None else out):
        say(f"Written: {path}")


@main.command()
@click.argument("directory", type=PATH, default=Path())
@click.option("--out", type=PATH, help="Where the files go.  [default: the directory itself]")
def parity(directory: Path, out: Path | None) -> None:
    """Predictions against references, of mode 3."""
    from plotting.prediction import draw_parity

    for path in draw_parity(directory, directory if out is None else out):
        say(f"Written: {path}")


@main.command()
@click.argument("directory", type=PATH, default=Path())
@click.option("--out", "--html", "page", type=PATH, help="The page.  [default: report.html in the directory]")
def report(directory: Path, page: Path | None) -> None:
    """One self-contained page on a run: settings, data, training, errors, uncertainty, worst structures."""
    from plotting.report import write_report

    say(f"Written: {write_report(directory, page or directory / 'report.html')}")


if __name__ == "__main__":
    main()
