"""`tillsync`: the command line. A noun is one file here, imported when it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from orchestrator import __version__
from orchestrator.cli import options
from orchestrator.errors import TillsyncError, UsageError

COMMANDS = {
    "demo": "demo",
    "config": "config",
    "install": "install",
    "uninstall": "install",
    "branch": "branch",
    "reload": "reload",
    "reconcile": "reconcile",
    "repair": "repair",
    "conflicts": "conflicts",
    "notify": "notify",
    "parked": "parked",
    "explain": "explain",
    "sync": "sync",
    "run": "run",
    "service": "service",
    "status": "status",
    "lab": "lab",
    "notices": "notices",
    "labels": "labels",
    "backup": "backup",
    "restore": "backup",
    "check": "check",
    "verify": "check",
    "repair-triggers": "check",
    "bench": "bench",
}
"""Command -> the file that has it: as a group `NAME_app`, or as a function `NAME`, with _ for -."""

INTERRUPTED = 130


class Commands(TyperGroup):
    """The commands of `COMMANDS`; `--help` of one does not import the others."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            module = import_module(f"orchestrator.cli.{COMMANDS[cmd_name]}")
            self.commands[cmd_name] = _command(cmd_name, module)
        return self.commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        for name in COMMANDS if args and args[0] not in COMMANDS else ():
            self.get_command(ctx, name)  # the suggestions for a misspelt one come from those that are known
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tillsync {__version__}")
        raise typer.Exit


@app.callback()
def tillsync(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Keeps the tills of a retail chain in step with head office, at database level.

    Exit codes: 0 ok, 1 error, 2 usage or settings, 3 findings or differences, 4 unreachable (try again),
    5 busy (another run holds it), 6 a person must decide. Errors are one line on stderr; with `-v` they say where they
    come from.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end with its exit code; what went wrong is one line on stderr."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """As `main`, for callers that go on: the exit code."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=list(arguments), prog_name="tillsync", standalone_mode=False)
    except TillsyncError as e:
        return _failed(e, str(e), e.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _broken_pipe()
    except Exception as e:
        if hasattr(e, "format_message"):  # the command line's own complaints
            return _misused(e)
        said = TillsyncError("TS-799", f"unexpected: {type(e).__name__}: {e}", hint="run it with -v, and report it")
        return _failed(e, str(said), said.exit_code)
    return code if isinstance(code, int) else 0


def _command(name: str, module: Any) -> Any:
    """A command or group of a module, with `-v` on each command in it."""
    attribute = name.replace("-", "_")
    group = getattr(module, f"{attribute}_app", None)
    if group is None:
        group = typer.Typer(add_completion=False)
        group.command(name)(getattr(module, attribute))
    made = typer.main.get_command(group)
    made.context_settings = {**made.context_settings, "help_option_names": ["-h", "--help"]}
    made.name = name
    for command in getattr(made, "commands", {"": made}).values():
        command.params.append(_verbose_option())
    return made


def _begin(ctx: typer.Context, verbose: bool) -> bool:
    """Called for every command before it runs."""
    options.verbose = verbose
    if not ctx.resilient_parsing:
        from orchestrator.log import configure

        configure(level="debug" if verbose else "warning")
    return verbose


def _verbose_option() -> Any:
    """The option `-v` as Typer makes it from a signature; every command gets it without asking."""

    def shared(
        verbose: Annotated[
            bool,
            typer.Option(
                "--verbose",
                "-v",
                help="Log what is done, and print where an error comes from.",
                callback=_begin,
                is_eager=True,
                expose_value=False,
            ),
        ] = False,
    ) -> None: ...

    carrier = typer.Typer(add_completion=False)
    carrier.command()(shared)
    return next(p for p in typer.main.get_command(carrier).params if p.name == "verbose")


def _failed(error: BaseException, said: str, code: int) -> int:
    if options.verbose:
        import traceback

        traceback.print_exception(error)
    typer.echo(said, err=True)
    return code


def _misused(error: Any) -> int:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if not message:  # no arguments: the help was printed
        return UsageError.exit_code
    path = context.command_path if context is not None else "tillsync"
    typer.echo(str(UsageError("TS-700", message.rstrip("."), hint=f"see `{path} --help`")), err=True)
    return UsageError.exit_code


def _broken_pipe() -> int:
    import os

    # Whoever read our output is gone; Python would complain again when it flushes at the end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


if __name__ == "__main__":
    main()
