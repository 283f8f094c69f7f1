"""The command ``bnnp``: modes, verbs and options; :mod:`bnnp.command` has how it ends."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from bnnp import __version__, parallel
from bnnp.command import KEPT, SETTINGS, Group, say
from bnnp.memory import keep_freed_memory

MODES = {
    1: ("bnnp.modes.symmetry.run", "compute"),
    2: ("bnnp.modes.train.run", "train"),
    3: ("bnnp.modes.predict.run", "predict"),
}
DYNAMICS = ("bnnp.modes.simulate.run", "simulate")  # mode 3 with md_steps
CHECK = ("bnnp.modes.check.run", "check")
TOOLS = {  # scripts of tools/ as verbs of the command
    "auto": ("auto", "Data to potential in one command: convert, divide, train, calibrate, judge."),
    "loop": ("loop", "Active learning: explore, select, label, train, judge, until nothing surprises."),
    "convert": ("convert", "Files of ASE, LAMMPS, DeePMD, RuNNer to input.data, and back; --check."),
    "vasp": ("vasp2data", "VASP's OUTCAR, vasprun.xml, vaspout.h5, ML_AB to input.data."),
    "functions": ("make_symmetry_functions", "Make symmetry functions by a recipe, or choose from many."),
    "select": ("select_structures", "Thin a trajectory, choose candidates for DFT."),
    "analyze": ("analyze_trajectory", "g(r), angles, diffusion, vibrations of trajectories."),
    "phonons": ("phonons", "Phonons, elastic constants, equation of state, each with its sigma."),
    "plot": ("plot", "Pictures and a report page of what bnnp wrote."),
}
NO_MODE = ("check", "keywords", "lammps_plugin", "export")  # options with which no mode runs
ALL_KEYWORDS = "*"
COMMAND_LINE = click.core.ParameterSource.COMMANDLINE

_HELP = """Behler-Parrinello neural network potentials with an uncertainty.

Reads input.nn and input.data in the working directory and does one job:

\b
  --mode 1   structures -> symmetry functions (symmetry_functions.h5)
  --mode 2   train the networks (weights.XXX.data, uncertainty.data)
  --mode 3   predict energies, forces and stresses, each with its uncertainty,
             or run molecular dynamics (md_steps in input.nn)

`bnnp --auto DATA...` does all of it, from VASP runs or other files; `bnnp --loop` chooses
what to compute next, has it computed, and trains again.

Modes 1, 2 and 3 run in parallel under mpiexec or srun. Without --mode, runner_mode in input.nn
counts, and the log has RuNNer's lines, too, which other programs read.
"""


CONTINUED = {  # by --mode
    1: "Run again, mode 1 continues where it was.",
    2: "With --restart the training continues from its last checkpoint.",
    3: "With --restart molecular dynamics continues from its last checkpoint; a prediction is run again.",
    None: "Run it again, a training or molecular dynamics with --restart.",
}


class Program(Group):
    """The command, with the scripts of tools/ as its verbs; each is imported when it is called."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`--auto` and `--loop` are the verbs of these names."""
        verb = args[0].removeprefix("--") if args[:1] in (["--auto"], ["--loop"]) else ""
        return super().parse_args(ctx, [verb, *args[1:]] if verb else args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the verbs."""
        return list(TOOLS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of a script."""
        if name not in TOOLS:
            return None
        ctx.invoked_subcommand = name  # an interruption may come while it is imported
        here = Path(__file__).parent
        folder = next(path for path in (here / "tools", here.parent / "tools") if path.is_dir())
        sys.path.insert(0, str(folder))  # the scripts import each other
        command = importlib.import_module(TOOLS[name][0]).main
        assert isinstance(command, click.Command)
        return command

    def left(self, ctx: click.Context) -> str:
        """What an interrupted mode leaves behind, and how it is continued."""
        if ctx.invoked_subcommand or any(ctx.params.get(name) for name in NO_MODE):
            return KEPT
        return f"{KEPT} {CONTINUED[ctx.params.get('mode')]}"

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs in the help, without importing them."""
        with formatter.section("Around it (`bnnp VERB --help`)"):
            formatter.write_dl([(name, text) for name, (_, text) in TOOLS.items()])


@click.command("bnnp", cls=Program, help=_HELP, invoke_without_command=True, context_settings=SETTINGS)
@click.option("--mode", type=click.IntRange(1, 3), help="What to do; wins over runner_mode in input.nn.")
@click.option("--restart", is_flag=True, help="Continue a training or a molecular dynamics run.")
@click.option(
    "--check", is_flag=True, help="Read and check both files, estimate time and memory; run nothing."
)
@click.option(
    "--input", "settings_file", default="input.nn", show_default=True, metavar="FILE", help="The settings."
)
@click.option(
    "--data", "data_file", default="input.data", show_default=True, metavar="FILE", help="The structures."
)
@click.option(
    "--keywords",
    is_flag=False,
    flag_value=ALL_KEYWORDS,
    metavar="[NAME]",
    help="List the keywords of input.nn, or explain one.",
)
@click.option("--lammps-plugin", is_flag=True, help="Compile pair_style bnnp for the installed LAMMPS.")
@click.option("--headers", metavar="DIR", help="--lammps-plugin: headers of a LAMMPS of your own.")
@click.option(
    "--export",
    nargs=2,
    metavar="hdnnp|bnnp DIR",
    help="Write the potential for pair_style hdnnp and n2p2, or for pair_style bnnp.",
)
@click.option(
    "--masks", type=click.IntRange(1), metavar="K", help="--export hdnnp: the exact mean over K masks."
)
@click.option(
    "--units",
    type=click.Choice(["atomic", "metal"]),
    help="--export hdnnp: bohr and hartree, or Angstrom and eV.",
)
@click.option(
    "--fold",
    is_flag=True,
    help="--export hdnnp: free-atom energies, normalization and scaling interval within the weights (CP2K).",
)
@click.version_option(__version__, message="bnnp %(version)s")
@click.pass_context
def main(
    ctx: click.Context,
    mode: int | None,
    restart: bool,
    check: bool,
    settings_file: str,
    data_file: str,
    keywords: str | None,
    lammps_plugin: bool,
    headers: str | None,
    export: tuple[str, str] | None,
    masks: int | None,
    units: str | None,
    fold: bool,
) -> None:
    """Turn the command line into one call, and any failure into a message and an exit code."""
    if ctx.invoked_subcommand is not None:
        if given := [f"--{name}" for name in ctx.params if ctx.get_parameter_source(name) is COMMAND_LINE]:
            raise click.UsageError(f"{ctx.invoked_subcommand} goes without {' '.join(given)} before it")
        return
    if restart and (check or keywords or mode not in (None, 2, 3)):
        raise click.UsageError("--restart continues a training or molecular dynamics: use --mode 2 or 3")
    if headers and not lammps_plugin:
        raise click.UsageError("--headers says what --lammps-plugin compiles against: use it with that")
    if (masks or units or fold) and (not export or export[0] != "hdnnp"):
        raise click.UsageError(
            "--masks, --units and --fold say what is exported: use them with --export hdnnp DIR"
        )
    if keywords:
        click.echo(_describe_keywords(keywords))
    elif lammps_plugin:
        say(_compile_plugin(headers))
    elif export:
        say(_export(export[0], Path(export[1]), Path(settings_file), masks, units, fold))
    else:
        _run(mode, restart, check, Path(settings_file), Path(data_file))


def _describe_keywords(name: str) -> str:
    from bnnp.settings.help import keyword_details, keyword_list

    return keyword_list() if name == ALL_KEYWORDS else keyword_details(name)


def _compile_plugin(headers: str | None) -> str:
    from bnnp.interfaces.lammps.build import plugin_for

    return plugin_for(headers, Path.cwd())


def _export(
    program: str, target: Path, settings_file: Path, masks: int | None, units: str | None, fold: bool
) -> str:
    from bnnp.interfaces.export import PROGRAMS, export

    if program not in PROGRAMS:
        raise click.UsageError(f"--export {program}: expected one of {', '.join(PROGRAMS)}, then a directory")
    return export(program, target, settings_file, masks, units, fold)


def _run(mode: int | None, restart: bool, check: bool, settings_file: Path, data_file: Path) -> None:
    """Load the settings and call the mode, whose module is imported only now."""
    parallel.check_launch()
    parallel.pin_threads(1)  # before numpy and torch are loaded: the core has threads of its own
    keep_freed_memory()
    from bnnp.io.lock import DirectoryLock
    from bnnp.run import Run
    from bnnp.settings.settings import load_settings

    settings = load_settings(settings_file, mode, mode_required=not check, choosing=True)
    dynamics = settings.mode == 3 and settings.dynamics.md_steps
    if restart and settings.mode != 2 and not dynamics:
        what = f"no md_steps for mode {settings.mode}" if mode else f"runner_mode {settings.mode}"
        what += " and no md_steps" * (settings.mode == 3 and not mode)
        raise click.UsageError(
            f"--restart continues a training or molecular dynamics, but {settings_file.name} has {what}: use "
            "it with --mode 2, or with --mode 3 and md_steps"
        )
    run = Run(settings, data_file, Path.cwd(), restart, as_runner=mode is None)
    module, function = CHECK if check else DYNAMICS if dynamics else MODES[settings.mode]
    work = getattr(importlib.import_module(module), function)
    if check:
        work(run)
        return
    lock, taken = DirectoryLock(run.directory), False
    try:
        parallel.on_root(lock.take, f"mode {settings.mode}")
        taken = True
        work(run)
        parallel.on_root(lock.release)
    except BaseException:
        if taken or lock.held:
            lock.release()  # before this rank ends the others
        raise
