"""What `juicefs` takes on its command line and click does not, made into what click does.

* Global flags stand before the command or after it.  An option of the command's own wins.
* An option that is a switch takes a value: `--dir-stats=false`.
* Options that Roost has not are refused by their names.
"""

import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from roost.errors import InvalidArgument, Unsupported

_LEVELS = {
    "--verbose": "DEBUG", "--debug": "DEBUG", "-v": "DEBUG", "--trace": "DEBUG",
    "--quiet": "WARNING", "-q": "WARNING",
}  # fmt: skip
_NO_COLOR = "--no-color"
_LOG_ID = "--log-id"
_TAKEN_SILENTLY = ("--no-agent",)  # Roost has no such thing
_VALUE_TAKEN_SILENTLY = ("--pyroscope",)
_FLAGS = (*_LEVELS, _NO_COLOR, *_TAKEN_SILENTLY)
_WITH_VALUE = (_LOG_ID, *_VALUE_TAKEN_SILENTLY)
# As Go's strconv.ParseBool, which reads JuiceFS's.
_YES = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_NO = frozenset(("0", "f", "F", "false", "FALSE", "False"))

_BINARY = (
    "the binary form of dumps is not there",
    "Dump without --binary, with juicefs or roost: that is JSON, which both load.",
)
_NO_ACCESS_CONTROL = ("access control by other services is not there", "Leave it out.")
_NO_CHANGELOG = (
    "the change log is not there",
    "Use the official client; a volume with a change log opens read-only in Roost.",
)
_REFUSED = {
    "dump": {"--binary": _BINARY},
    "load": dict.fromkeys(("--binary", "--stat", "--offset", "--threads"), _BINARY),
    **dict.fromkeys(
        ("format", "config"),
        {"--ranger-": _NO_ACCESS_CONTROL, "--kerberos-": _NO_ACCESS_CONTROL}
        | {"--changelog": _NO_CHANGELOG, "--changelog-": _NO_CHANGELOG},
    ),
}
"""Command -> option, or the beginning of some if it ends in a dash -> what is said."""
_REFUSED_SWITCHES = ("--binary", "--stat", "--changelog")
"""Those that may be written out as being off, which asks for nothing."""


@dataclass(slots=True)
class GlobalFlags:
    """What the global flags ask for."""

    level: str = ""  # of logs; empty if none is asked for
    log_id: str = ""
    no_color: bool = False

    def take(self, name: str, value: str) -> None:
        """Note a flag."""
        if name in _LEVELS:
            self.level = _LEVELS[name]
        elif name == _NO_COLOR:
            self.no_color = True
        elif name == _LOG_ID:
            self.log_id = str(uuid.uuid4()) if value == "random" else value

    def apply(self) -> None:
        """Set up logs and colours as asked for, and leave them alone otherwise."""
        if self.no_color:
            os.environ["NO_COLOR"] = "1"
        if self.level or self.log_id:
            from roost.telemetry import logs

            logs.demand(self.level or "WARNING", self.log_id)


def leading_flags(arguments: Sequence[str], flags: GlobalFlags) -> list[str]:
    """Return arguments without the global flags before the command, which `flags` takes."""
    return list(_without_flags(arguments, flags, known={}, until_a_word=True))


def command_arguments(
    arguments: Sequence[str], name: str, command: Any, flags: GlobalFlags
) -> list[str]:
    """Return a command's arguments as click wants them; `flags` takes the global ones.

    `command` is click's, which typer does not export.  A group is left to its subcommand by name.
    Raises Unsupported for what only JuiceFS has, InvalidArgument for a switch's value.
    """
    subcommands = getattr(command, "commands", None)
    if subcommands is not None:
        own = leading_flags(arguments, flags)
        if not own or own[0] not in subcommands:
            return own
        rest = command_arguments(own[1:], f"{name} {own[0]}", subcommands[own[0]], flags)
        return [own[0], *rest]
    known = _options_of(command)
    return list(_without_flags(arguments, flags, known=known, refused=_REFUSED.get(name, {})))


def _options_of(command: Any) -> dict[str, Any]:
    return {
        spelling: param
        for param in command.params
        if param.param_type_name == "option"
        for spelling in (*param.opts, *param.secondary_opts)
    }


def _without_flags(
    arguments: Sequence[str],
    flags: GlobalFlags,
    *,
    known: dict[str, Any],
    refused: dict[str, tuple[str, str]] | None = None,
    until_a_word: bool = False,
) -> Iterator[str]:
    waiting = iter(arguments)
    for one in waiting:
        name, has_value, value = one.partition("=")
        option = known.get(name)
        if one == "--" or (until_a_word and not one.startswith("-")):
            yield one
            break
        if option is not None:
            yield from _spelled(option, one)
            if not option.is_flag and not option.count and not has_value:
                yield from _next(waiting)  # its value, whatever that looks like
        elif name in _FLAGS:
            if not has_value or _is_yes(name, value):
                flags.take(name, "")
        elif name in _WITH_VALUE:
            flags.take(name, value if has_value else next(waiting, ""))
        elif not (refused and name in refused and _is_off(name, value)):
            _demand_known(name, refused or {})
            yield one
    yield from waiting


def _next(waiting: Iterator[str]) -> Iterator[str]:
    value = next(waiting, None)
    if value is not None:
        yield value


def _demand_known(name: str, refused: dict[str, tuple[str, str]]) -> None:
    for option, (why, hint) in refused.items():
        if name == option or (option.endswith("-") and name.startswith(option)):
            raise Unsupported(f"{name}: {why}", hint=hint)


def _is_off(name: str, value: str) -> bool:
    return name in _REFUSED_SWITCHES and value in _NO


def _spelled(option: Any, one: str) -> list[str]:
    """Return an option as given; a switch with a value as the switch, or its opposite."""
    name, has_value, value = one.partition("=")
    if not has_value or not option.is_flag:
        return [one]
    is_opposite = name in option.secondary_opts
    if _is_yes(name, value) is not is_opposite:
        return [option.opts[0]]
    return list(option.secondary_opts[:1])  # a switch without an opposite is off by itself


def _is_yes(name: str, value: str) -> bool:
    if value in _YES:
        return True
    if value in _NO:
        return False
    raise InvalidArgument(f"{name}={value}: it is on or off", hint=f"Write {name}=true or =false.")
