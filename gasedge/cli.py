"""The console script: finds a command's file when it is called, turns errors into one line."""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
import sys
import traceback
from pathlib import Path

import click

import gasedge.commands
from contract.errors import GasedgeError

__all__ = ["main"]


class _Commands(click.Group):
    """One file per command in `gasedge.commands`, imported only to run it or to show its help.

    The list of commands tells the first line of each file, so that it needs no import of them.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        names = (module.name for module in pkgutil.iter_modules(gasedge.commands.__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"gasedge.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        folder = Path(gasedge.commands.__path__[0])
        rows = []
        for name in self.list_commands(ctx):
            with (folder / f"{name.replace('-', '_')}.py").open(encoding="utf-8") as file:
                purpose = file.readline().partition("`: ")[2].rstrip('"\n')
            rows.append((name, purpose[:1].upper() + purpose[1:]))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gasedge")
@click.option("--debug", is_flag=True, help="Show tracebacks and debug logs.")
@click.option("-q", "--quiet", is_flag=True, help="Log warnings only, no progress.")
@click.pass_context
def cli(ctx: click.Context, *, debug: bool, quiet: bool) -> None:
    """Carry a gas-leak segmentation network from workstation to device and into the plant."""
    ctx.obj = {"debug": debug}
    if quiet or not sys.stderr.isatty():  # a bar drawn anew a hundred times is no log
        os.environ.setdefault("TQDM_DISABLE", "1")
    level = logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def main(arguments: list[str] | None = None) -> int:  # noqa: PLR0911 - one return per outcome
    """Run the command line and return its exit code.

    Codes: 0 done, 1 failed, 2 usage or configuration, 3 a budget or check not met, 4 the GPU
    needs a new process, 130 interrupted.
    """
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    try:
        result = cli.main(args=arguments, prog_name="gasedge", standalone_mode=False)
    except GasedgeError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"gasedge: {error}", err=True)
        return error.exit_code
    except click.exceptions.Abort:
        click.echo("gasedge: interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except KeyboardInterrupt:
        click.echo("gasedge: interrupted", err=True)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001 - the last line of defence before the user
        if debug:
            traceback.print_exc()
        click.echo(
            f"gasedge: unexpected {type(error).__name__}: {error} (run again with --debug)",
            err=True,
        )
        return 1
    return result if isinstance(result, int) else 0
