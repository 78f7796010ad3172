"""Where a side of a sync really is, so that two sides can be compared."""

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """The real place of a key: links resolved, part by part.

    `space` is what has one root: this host's files, a volume, a bucket.  `identities` are those of
    that root and of the folders below it, as far as they exist: one folder may have two paths (a
    bind mount, names without case).  None is an identity that is not known.  `file` is that of the
    file that is here, if one is: it may have two names.
    """

    space: str
    parts: tuple[str, ...] = ()
    identities: tuple[Hashable, ...] = ()
    file: Hashable = None

    def key_in(self, outer: "Location") -> str | None:
        """Return the key below `outer` that is here, "" if that is here; None if none is."""
        if self.space != outer.space:
            return None
        known = max(len(outer.identities) - 1, 0)  # folders that exist, below the root
        missing = outer.parts[known:]
        identity = outer.identities[known] if outer.identities else None
        for at in reversed(range(len(self.identities))):  # the nearest: no longer way round
            end = at + len(missing)
            if (
                identity is not None
                and identity == self.identities[at]
                and self.parts[at:end] == missing
            ):
                return "/".join(self.parts[end:])
        depth = len(outer.parts)
        return "/".join(self.parts[depth:]) if self.parts[:depth] == outer.parts else None

    def is_same_file(self, other: "Location") -> bool:
        """True if there is one file here and there, by whatever names."""
        return self.space == other.space and self.file is not None and self.file == other.file

    def lies_in(self, outer: "Location") -> bool:
        """True if this is `outer`, or in it."""
        return self.key_in(outer) is not None

    def overlaps(self, other: "Location") -> bool:
        """True if one lies in the other."""
        return self.lies_in(other) or other.lies_in(self)
