"""Include and exclude rules, with the meaning that rsync and JuiceFS give them.

A pattern's parts between slashes match the parts of a path.  One that begins with "/" is matched
from the root, any other against the path's last parts.  One that ends in "/" matches folders only.
"*" and "?" match within a part, "[a-z]" and "[^a-z]" one character, "**" any characters including
"/", a last part "***" a folder and everything in it; a backslash takes a character literally.
The first rule that matches decides; without one a path is included.

Layer by layer (the default) a path is included if none of its folders, from the top, and not
itself, is excluded.  With `full_path` only the path itself is looked at.
Source: JuiceFS Community 1.4, guide "Data Synchronization", pattern matching; pkg/sync, rules.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from roost.errors import InvalidArgument

_CLASS_ITEM = re.compile(r"(\\.|[^\\\]\-])(?:-(\\.|[^\\\]\-]))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """One --include or --exclude."""

    pattern: str
    include: bool

    def __post_init__(self) -> None:
        """Raise InvalidArgument for a pattern that does not parse."""
        if not self.pattern:
            raise InvalidArgument("an empty pattern matches nothing")
        _compiled(self.pattern)

    @property
    def only_folders(self) -> bool:
        """True if the pattern asks for a folder by its last part."""
        return self.pattern.rpartition("/")[2] in ("", "***")

    def matches(self, path: str) -> bool:
        """True if the pattern matches `path`; a folder's path ends in "/"."""
        return _compiled(self.pattern).fullmatch(path) is not None


def admits(rules: Sequence[Rule], key: str, *, full_path: bool) -> bool:
    """True if the rules let `key` through."""
    if not rules:
        return True
    if full_path:
        return _verdict(rules, key, key)
    parts = key.split("/")
    for count in range(1, len(parts) + 1):
        if not parts[count - 1]:
            continue
        path = "/".join(parts[:count])
        if not _verdict(rules, path, path + "/" if count < len(parts) else path):
            return False
    return True


def excludes_all(rules: Sequence[Rule], folder: str) -> bool:
    """True if the rules exclude `folder` ("a/b/") and, with `full_path`, surely all that is in it.

    A rule that excludes the folder alone says nothing about what is in it.
    """
    for rule in rules:
        if rule.include:
            return False
        if rule.pattern.rpartition("/")[2] == "***" and rule.matches(folder):
            return True
    return False


def _verdict(rules: Sequence[Rule], path: str, as_folder: str) -> bool:
    for rule in rules:
        if rule.matches(as_folder if rule.only_folders else path):
            return rule.include
    return True


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return the expression that matches the paths of a pattern.  Raises InvalidArgument."""
    parts = pattern.split("/")
    if parts[0] == "" and len(parts) > 1:
        parts, lead = parts[1:], ""
        if "***" in parts:  # from the root it takes the rest, whatever follows
            parts = parts[: parts.index("***") + 1]
    else:
        lead = "(?:.*/)?"
        if len(parts) > 1 and parts[0] in ("**", "***"):
            parts = parts[1:]  # any number of leading parts, none too: what `lead` says
    try:
        return re.compile(lead + "/".join(map(_part, parts)), re.DOTALL)
    except re.error as error:
        raise InvalidArgument(f"pattern {pattern!r}: {error}") from error


def _part(text: str) -> str:
    pieces = []
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character == "*":
            stars = 1
            while text[at : at + 1] == "*":
                stars, at = stars + 1, at + 1
            pieces.append("[^/]*" if stars == 1 else ".*")
        elif character == "?":
            pieces.append("[^/]")
        elif character == "[":
            piece, at = _class(text, at)
            pieces.append(piece)
        elif character == "\\":
            if at == len(text):
                raise InvalidArgument(f"pattern {text!r} ends in a backslash")
            pieces.append(re.escape(text[at]))
            at += 1
        else:
            pieces.append(re.escape(character))
    return "".join(pieces)


def _class(text: str, at: int) -> tuple[str, int]:
    """Return the expression of the class whose first character is at `at`, and what follows it."""
    negated = text[at : at + 1] == "^"
    at += negated
    items: list[str] = []
    while text[at : at + 1] != "]" or not items:
        found = _CLASS_ITEM.match(text, at)
        if found is None:
            raise InvalidArgument(f"pattern {text!r} has a character class that does not parse")
        low, high = found[1][-1], (found[2] or found[1])[-1]
        if low <= high:  # a range the wrong way round matches nothing
            items.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            items.append("")
        at = found.end()
    body = "".join(items)
    if not body:
        return ("[^/]" if negated else "(?!)"), at + 1
    return (f"(?!/)[^{body}]" if negated else f"(?!/)[{body}]"), at + 1
