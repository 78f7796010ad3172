"""Include and exclude rules against a plain matcher, and the examples of the guides."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from roost.errors import InvalidArgument
from roost.volume.sync.rules import Rule, admits

TEXT = "ab*?/"
paths = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)
keys = st.tuples(paths, st.sampled_from(["", "/"])).map("".join)
patterns = st.one_of(
    st.text("ab*?/[]^-\\", min_size=1, max_size=7),
    st.lists(
        st.sampled_from(["a", "b", "*", "**", "***", "a*", "a**b", "?", "[ab]", "[^a]", "**b"]),
        min_size=1,
        max_size=4,
    ).flatmap(
        lambda parts: st.tuples(
            st.sampled_from(["", "/"]), st.just("/".join(parts)), st.sampled_from(["", "/"])
        ).map("".join)
    ),
)


def rule(pattern: str, include: bool = False) -> Rule | None:
    try:
        return Rule(pattern, include)
    except InvalidArgument:
        return None


# ---- the reference: part by part, character by character
def match(pattern: str, path: str) -> bool:
    parts, given_parts = pattern.split("/"), path.split("/")
    if parts[0] == "" and len(parts) > 1:
        return from_root(parts[1:], given_parts)
    if len(parts) > 1 and parts[0] in ("**", "***") and in_order(parts[1:], given_parts):
        return True
    return any(in_order(parts, given_parts[at:]) for at in range(len(given_parts)))


def from_root(parts: list[str], path: list[str]) -> bool:
    if "***" in parts:
        parts = parts[: parts.index("***") + 1]
    return in_order(parts, path)


def in_order(parts: list[str], path: list[str]) -> bool:
    if not parts:
        return not path
    if "**" in parts[0]:
        return any(
            characters(parts[0], "/".join(path[:count])) and in_order(parts[1:], path[count:])
            for count in range(1, len(path) + 1)
        )
    return bool(path) and characters(parts[0], path[0]) and in_order(parts[1:], path[1:])


def characters(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern.startswith("*"):
        rest = pattern.lstrip("*")
        crosses = len(pattern) - len(rest) > 1
        ends = range(len(text) + 1)
        return any(characters(rest, text[end:]) for end in ends if crosses or "/" not in text[:end])
    if not text:
        return False
    if pattern[0] == "?":
        return text[0] != "/" and characters(pattern[1:], text[1:])
    if pattern[0] == "[":
        accepted, rest = one_of(pattern)
        return text[0] != "/" and text[0] in accepted and characters(rest, text[1:])
    if pattern[0] == "\\":
        return pattern[1] == text[0] and characters(pattern[2:], text[1:])
    return pattern[0] == text[0] and characters(pattern[1:], text[1:])


def one_of(pattern: str) -> tuple[str, str]:
    """The characters that a class accepts, of those that occur here, and what follows it."""
    at, accepted = 1, ""
    negated = pattern[at] == "^"
    at += negated
    while pattern[at] != "]" or (not accepted and pattern[at - 1] in "[^"):
        ends = []
        while True:
            at += pattern[at] == "\\"
            ends.append(pattern[at])
            at += 1
            if len(ends) == 2 or pattern[at] != "-":
                break
            at += 1
        accepted += "".join(map(chr, range(ord(ends[0]), ord(ends[-1]) + 1))) or "\0"
    everything = set("ab*?[]^-\\")
    return "".join(everything - set(accepted)) if negated else accepted, pattern[at + 1 :]


@given(patterns, keys)
@example("**/b", "b")
@example("/a/**/b", "a/b")
@example("a/***", "a/")
@example("[^a]", "b")
@example("a**b", "ab/ab")
def test_a_pattern_matches_what_the_plain_matcher_matches(pattern: str, key: str) -> None:
    made = rule(pattern)
    if made is not None:
        assert made.matches(key) == match(pattern, key), (pattern, key)


@given(st.lists(st.tuples(patterns, st.booleans()), max_size=4), keys, st.booleans())
def test_the_first_rule_that_matches_decides_layer_by_layer(
    given_rules: list[tuple[str, bool]], key: str, full_path: bool
) -> None:
    rules = [made for made in (rule(*one) for one in given_rules) if made is not None]

    def verdict(path: str, as_folder: str) -> bool:
        for one in rules:
            wants_folder = one.pattern.endswith("/") or one.pattern.split("/")[-1] == "***"
            if match(one.pattern, as_folder if wants_folder else path):
                return one.include
        return True

    parts = key.split("/")
    if full_path:
        expected = verdict(key, key)
    else:
        layers = ["/".join(parts[: at + 1]) for at in range(len(parts)) if parts[at]]
        expected = all(
            verdict(layer, layer + "/" if at < len(parts) - 1 else layer)
            for at, layer in enumerate(layers)
        )
    assert admits(rules, key, full_path=full_path) == expected


def kept(keys: str, *words: str, full_path: bool = False) -> str:
    rules = [Rule(word[1:], word[0] == "+") for word in words]
    return " ".join(k for k in keys.split() if admits(rules, k, full_path=full_path))


def test_the_examples_of_the_manual() -> None:
    assert kept("a1/b1 a2/b2 aaa/b1", "-a?/b*") == "aaa/b1"
    assert kept("a1/b1 a2/b2 aaa/b1", "+a1/b1", "-a[1-9]/b*") == "a1/b1 aaa/b1"
    assert kept("a1/b1 a2/b2 aaa/b1 b1 b2", "+a1/b1", "-a*", "+b2", "-b?") == "b2"
    assert kept("x.o y/z.o y/z.c", "-*.o") == "y/z.c"
    spam = "foo/spam/bar foo/spam/eggs/bar foo/bar"
    assert kept(spam, "-/foo/*/bar") == "foo/spam/eggs/bar foo/bar"
    assert kept(spam, "-/foo/**/bar") == "foo/bar"
    assert kept("foo xx/foo foo1 2foo", "-foo") == "foo1 2foo"
    some = "some/path/this-one some/path/other other"
    assert kept(some, "+/some/path/this-one", "-*") == ""
    assert kept(some, "+/some/", "+/some/path/", "+/some/path/this-one", "-*") == (
        "some/path/this-one"
    )
    assert kept("a1/b1/c1.txt", "+a*.txt", "+c1.txt", "-c*.txt") == "a1/b1/c1.txt"
    assert kept("foo/x foobar/y a/foo", "-/foo**", full_path=True) == "a/foo"
    assert kept("foo/ foo/bar.c foo/x", "+foo/bar.c", "-*", full_path=True) == "foo/bar.c"


def test_folders_only_patterns_leave_files_alone() -> None:
    assert kept("foo a/foo foo/x", "-foo/") == "foo a/foo"
    assert kept("foo foo/ foo/x", "-/foo/***") == "foo"


@pytest.mark.parametrize("pattern", ["", "[", "[]", "[a", "[a-]", "a\\", "[^]", "x/[b-"])
def test_a_pattern_that_does_not_parse_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgument):
        Rule(pattern, include=True)
