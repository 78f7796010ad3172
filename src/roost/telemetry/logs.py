"""Logging: one line an event, to standard error."""

import logging
import sys

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


_demanded = ""  # by the person, over what a command sets up for itself


def set_up(level: str = "INFO") -> None:
    """Send the process's logs of at least `level` to standard error.

    A level that was demanded stays.
    """
    if not _demanded:
        _send(level.upper(), FORMAT)


def demand(level: str, log_id: str = "") -> None:
    """As `set_up`, whatever the command sets up later; with `log_id` in every line."""
    global _demanded
    _demanded = level.upper()
    _send(_demanded, f"[{log_id.replace('%', '%%')}] {FORMAT}" if log_id else FORMAT)


def _send(level: str, form: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(form))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
