"""How commands speak: results on standard output, one plain line for an error, JSON when asked.

Exit codes: 0 done; 2 refused; 3 the outside failed; 4 damage; 70 a defect of Roost (a traceback is
shown); 130 interrupted.
"""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer

from roost.errors import Failure, Refusal, RoostError

EXIT_DEFECT = 70
EXIT_INTERRUPTED = 130

# What the system refuses on a local path as a volume does on its own (`FsError`).
_REFUSALS = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn an error somebody can act on into one line, its hint, and its exit code."""
    try:
        yield
    except RoostError as error:
        _complain(str(error), error.hint)
        raise typer.Exit(error.exit_code) from error
    except typer.Abort as error:  # a question was answered with no, or not at all
        complain("aborted")
        raise typer.Exit(Refusal.exit_code) from error
    except BrokenPipeError as error:  # the reader of our output went away: nothing to tell
        sys.stderr.close()
        raise typer.Exit(Failure.exit_code) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}", "")
        refused = isinstance(error, _REFUSALS)
        raise typer.Exit(Refusal.exit_code if refused else Failure.exit_code) from error
    except KeyboardInterrupt as error:
        _complain("interrupted", "")
        raise typer.Exit(EXIT_INTERRUPTED) from error


def show_json(value: Any) -> None:
    """Print a dataclass, or plain values, as JSON."""
    typer.echo(json.dumps(_plain(value), default=_jsonable, indent=2, ensure_ascii=False))


def complain(message: str) -> None:
    """Print a line for the person on standard error."""
    typer.echo(printable(message), err=True)


def _complain(message: str, hint: str) -> None:
    complain(f"error: {message}")
    if hint:
        complain(f"hint: {hint}")


def printable(text: str) -> str:
    """Return text with what is no UTF-8 as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    """Return the name of an enumerated value; JSON would show one that is an integer as that."""
    return value.name.lower() if isinstance(value, Enum) else value


def _jsonable(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    raise TypeError(f"{type(value).__name__} cannot be shown as JSON")
