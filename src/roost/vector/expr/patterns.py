"""`like` patterns: `%` is any text, `_` any one character, a backslash takes the next literally."""

_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def like(pattern: str) -> tuple[str, str]:
    """Return how to match and what: the cheapest of equal, prefix, suffix, infix and regex."""
    pieces = _pieces(pattern)
    wild = [at for at, (_, is_wild) in enumerate(pieces) if is_wild]
    text = "".join(piece for piece, is_wild in pieces if not is_wild)
    if not wild:
        return "equal", text
    if all(pieces[at][0] == "%" for at in wild):
        last = len(pieces) - 1
        if wild == [last]:
            return "prefix", text
        if wild == [0]:
            return "suffix", text
        if wild == [0, last]:
            return "infix", text
    return "regex", "(?s)^" + "".join(_regex(*piece) for piece in pieces) + "$"


def _pieces(pattern: str) -> list[tuple[str, bool]]:
    """Split into (text, False) and (wild card, True)."""
    pieces: list[tuple[str, bool]] = []
    text = ""
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\" and at + 1 < len(pattern):
            at += 1
            text += pattern[at]
        elif character in "%_":
            if text:
                pieces.append((text, False))
                text = ""
            pieces.append((character, True))
        else:
            text += character
        at += 1
    if text:
        pieces.append((text, False))
    return pieces


def _regex(piece: str, is_wild: bool) -> str:
    if is_wild:
        return ".*" if piece == "%" else "."
    # RE2 takes a backslash before punctuation only; re.escape would also put it before blanks.
    return "".join(f"\\{c}" if c in _PUNCTUATION else c for c in piece)
