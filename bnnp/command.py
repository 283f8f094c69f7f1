"""How a command ends and what it prints: shared by ``bnnp`` and the scripts of tools/.

No other module prints an error or ends the program. Exit codes: 0 success, 1 bad input or a failure, 2 wrong
use of the command line, 3 stopped by the uncertainty rule or the physical guard, 130 ended by Ctrl-C, 143 by
SIGTERM, 138 by SIGUSR1. Under MPI a failure on one rank ends all of them, with one message.
"""

from __future__ import annotations

import atexit
import difflib
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any

import click

from bnnp import __version__, parallel
from bnnp.errors import BnnpError, SignalStop
from bnnp.messages import columns, fold

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
SETTINGS = {"help_option_names": ["-h", "--help"]}

AGAIN = 0.05  # seconds until a lost signal comes again
ECHO = 1.0  # seconds in which another signal is not another wish
KEPT = "Files that were not complete have been left as they were before."


def say(text: str, err: bool = False) -> None:
    """Print text, in lines no wider than the terminal."""
    click.echo(fold(text, columns(sys.stderr if err else sys.stdout)), err=err)


class Command(click.Command):
    """A command whose failures become one message and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command and, unless it is part of another program, end this one."""
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            if not standalone_mode:
                raise
            if isinstance(error, click.exceptions.NoArgsIsHelpError):
                error.show()
                sys.exit(error.exit_code)
            _fail(f"ERROR: {error.format_message()}{_advice(error)}", error.exit_code)
        except click.Abort:  # Ctrl-C while the words of the command line are read
            if not standalone_mode:
                raise
            sys.exit(INTERRUPTED)
        if not standalone_mode:
            return code
        atexit.register(_ignore_signals)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Do the work; a failure becomes a message and an exit code, once for a verb and its group."""
        if ctx.parent is not None:
            return self.work(ctx)
        found: list[Any] = []
        guard(lambda: found.append(self.work(ctx)), lambda: self.left(ctx))
        return found[0] if found else None  # a rank that waits for the end after a failure

    def work(self, ctx: click.Context) -> Any:
        """Call the function of the command."""
        return super().invoke(ctx)

    def left(self, ctx: click.Context) -> str:
        """What an interruption leaves behind, for the message."""
        return KEPT


class Group(Command, click.Group):
    """Verbs of a command; a mistyped one is told with the one that was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that the first word names."""
        name, verbs = args[0], self.list_commands(ctx)
        if name not in verbs and not name.startswith("-"):
            close = difflib.get_close_matches(name, verbs, n=1)
            meant = (
                f"did you mean `{ctx.command_path} {close[0]}`?" if close else f"there are {', '.join(verbs)}"
            )
            raise click.UsageError(f"there is no `{ctx.command_path} {name}`; {meant}", ctx)
        return super().resolve_command(ctx, args)


def _advice(error: click.ClickException) -> str:
    """What to do about wrong use of the command line: where an option belongs, and where to read on."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return ""
    text, root = "", context.find_root()
    if isinstance(error, click.NoSuchOption) and root is not context:
        known = {name for parameter in root.command.params for name in parameter.opts}
        if error.option_name in known:
            text = f" {error.option_name} is an option of `{root.command_path}` without a verb."
    return f"{text}\nSee `{context.command_path} --help`."


def _ignore_signals() -> None:
    """The end has begun: another signal shall not change the message or the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class _Terminated(BaseException):
    """Raised by SIGTERM, so that temporary files are removed before the program ends."""


class _Signals:
    """SIGINT and SIGTERM as exceptions, also where what a handler raises is dropped or replaced.

    Python drops it within a callback, such as `__del__`: the signal comes again. A library that is being
    loaded makes an ImportError of it. mpiexec and the terminal may both deliver the same Ctrl-C.
    """

    def __init__(self) -> None:
        self._raised: type[BaseException] | None = None
        self._time = -math.inf
        self._hook = sys.unraisablehook
        self._formers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def __enter__(self) -> None:
        sys.unraisablehook = self._dropped
        for number, former in self._formers.items():
            if number == signal.SIGTERM or former is signal.default_int_handler:
                signal.signal(number, self._raise)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.unraisablehook = self._hook
        _ignore_signals()  # until all is reported; what was done is not undone
        if self._raised is not None and isinstance(error, Exception):
            raise self._raised from error

    def restore(self) -> None:
        """Put the former handlers back, when all is reported."""
        for number, former in self._formers.items():
            signal.signal(number, former)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        former, self._time = self._time, time.monotonic()
        if self._time - former < ECHO:
            return
        self._raised = KeyboardInterrupt if number == signal.SIGINT else _Terminated
        raise self._raised

    def _dropped(self, dropped: sys.UnraisableHookArgs) -> None:
        number = {KeyboardInterrupt: signal.SIGINT, _Terminated: signal.SIGTERM}.get(dropped.exc_type)
        if number is None:
            self._hook(dropped)
        else:
            self._time = -math.inf
            threading.Timer(AGAIN, os.kill, (os.getpid(), number)).start()


def guard(action: Callable[[], object], left: Callable[[], str] = lambda: KEPT) -> None:
    """Run `action`; a failure becomes a message on standard error and an exit code.

    `left` says what an interruption leaves behind.
    """
    signals = _Signals()  # mode 2 and molecular dynamics have their own while they run
    try:
        with signals:
            action()
    except (click.ClickException, click.exceptions.Exit, SystemExit):
        raise
    except SignalStop as error:
        raise SystemExit(error.exit_code) from None  # the log has said so
    except BnnpError as error:
        _fail(f"ERROR: {error}", error.exit_code)
    except KeyboardInterrupt:
        _fail(f"Interrupted (Ctrl-C). {left()}", INTERRUPTED)
    except _Terminated:
        _fail(f"Ended by signal SIGTERM. {left()}", TERMINATED)
    except BrokenPipeError:
        # the reader of the output has ended, as in `bnnp --keywords | head`: nothing more can be printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        parallel.abort(1)
    except MemoryError:
        _fail(
            "ERROR: out of memory. Lower memory_limit, use `derivatives recomputed` or a smaller batch_size, "
            "or start fewer ranks on each node; `bnnp --check` estimates the need.",
            1,
        )
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"ERROR: {place}{error.strerror or error}", 1)
    except Exception as error:
        _fail(
            f"ERROR: {type(error).__name__}: {error}\n"
            f"This is a bug in bnnp {__version__}, not a mistake of yours. Please report it with the lines "
            "above, input.nn and, if you can, a structure that shows it.",
            1,
            traceback.format_exc(),
        )
    finally:
        signals.restore()


def _fail(message: str, code: int, trace: str = "") -> None:
    """Print `message` once, behind a traceback if there is one, and end every rank with `code`."""
    sys.stdout.flush()
    parallel.wait_for_root_to_report(surely=code in (INTERRUPTED, TERMINATED))
    if trace:
        click.echo(trace, err=True)
    say(message, err=True)
    parallel.abort(code)
