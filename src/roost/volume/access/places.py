"""Which volume a URL means: `roost://VOLUME/path`, and JuiceFS's `jfs://VOLUME/path`.

VOLUME is, in this order:

* empty (`roost:///path`): the volume that the program names otherwise, by an option `meta` or by
  the environment variable ROOST_META;
* a metadata URL, percent-encoded: `roost://redis%3A%2F%2Flocalhost%2F1/path`;
* the name of an environment variable that holds the metadata URL, as JuiceFS has it:
  `photos=redis://localhost/1` and `jfs://photos/path`;
* the volume's own name, if the program names its metadata otherwise: then it is checked, so that
  `roost://folder/file`, one slash short, does not silently read another path.
"""

import os
from dataclasses import dataclass
from urllib.parse import quote, unquote

from roost.errors import InvalidArgument

SCHEMES = ("roost", "jfs")
META_VARIABLE = "ROOST_META"


@dataclass(frozen=True, slots=True)
class Place:
    """A volume and how it was named; `name` is to be the volume's, if it is not empty."""

    meta_url: str
    name: str = ""


def split_url(url: str) -> tuple[str, str]:
    """Return (VOLUME, path with its first "/") of a URL or a plain path; VOLUME may be empty."""
    for scheme in SCHEMES:
        for prefix in (f"{scheme}://", f"{scheme}:"):
            if url.startswith(prefix):
                rest = url[len(prefix) :]
                if prefix.endswith("://"):
                    authority, _, path = rest.partition("/")
                    return authority, "/" + path.lstrip("/")
                return "", "/" + rest.lstrip("/")
    return "", "/" + url.lstrip("/")


def place_of(authority: str, meta_url: str | None = None) -> Place:
    """Return the volume that `authority` means; `meta_url` is what the program says itself.

    Raises InvalidArgument if nothing says where the metadata lives.
    """
    known = meta_url or os.environ.get(META_VARIABLE)
    named = unquote(authority)
    if "://" in named:
        if meta_url and meta_url != named:
            raise InvalidArgument("the URL and the option meta name different volumes")
        return Place(named)
    if named and os.environ.get(named):
        return Place(os.environ[named])
    if known:
        return Place(known, named)
    what = f"volume {named!r}" if named else "the volume"
    raise InvalidArgument(
        f"nothing says where the metadata of {what} lives",
        hint=f"Pass meta=URL, or set {named or META_VARIABLE} in the environment to that URL.",
    )


def url_of(meta_url: str, path: str) -> str:
    """Return the URL that names `path` in the volume at `meta_url`, wherever it is read."""
    return f"roost://{quote(meta_url, safe='')}/{path.lstrip('/')}"
