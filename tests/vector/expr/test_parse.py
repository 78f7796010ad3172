"""Precedence and literals of the filter language."""

from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from roost.vector.expr.literals import floating, integer, raw_text, text_of
from roost.vector.expr.parse import parse


def shape(node: Any) -> Any:
    """Return a tree without positions."""
    if is_dataclass(node):
        kept = [f.name for f in fields(node) if f.name != "at"]
        return (type(node).__name__, *(shape(getattr(node, name)) for name in kept))
    return tuple(map(shape, node)) if isinstance(node, tuple) else node


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a or b and c", "a or (b and c)"),
        ("not a and b", "(not a) and b"),
        ("not a == 1", "not (a == 1)"),
        ("not a in [x]", "not (a in [x])"),
        ("a == 1 & b", "(a == 1) & b"),
        ("a & b ^ c | d", "((a & b) ^ c) | d"),
        ("a < b == c < d", "(a < b) == (c < d)"),
        ("a in [x] == true", "(a in [x]) == true"),
        ("a + b in [x]", "(a + b) in [x]"),
        ("a + b << c", "(a + b) << c"),
        ("a - b - c", "(a - b) - c"),
        ("a + b * c", "a + (b * c)"),
        ("-a * b", "(-a) * b"),
        ("-a ** b", "-(a ** b)"),
        ("a ** b ** c", "(a ** b) ** c"),
        ("a ** -b", "a ** (-b)"),
        ("a like 'x' == true", "(a like 'x') == true"),
        ("not a is null", "not (a is null)"),
        ("exists a and b", "(exists a) and b"),
        ("a && b || !c", "(a and b) or (not c)"),
        ("1 < a + 1 < 3", "1 < (a + 1) < 3"),
        ("a[ 'k' ]  [0]", "a['k'][0]"),
        ("[1, 2,]", "[1,2]"),
        ("a not in [1]", "not (a in [1])"),
    ],
)
def test_operators_bind_as_in_milvus(text: str, meaning: str) -> None:
    assert shape(parse(text)) == shape(parse(meaning))


def test_words_inside_names_are_names() -> None:
    for name in ("order", "android", "island", "nothing", "inside", "truely", "isonull", "callx"):
        assert shape(parse(name)) == ("Name", name, ())


def test_a_long_list_is_one_token_and_means_the_same() -> None:
    plain = parse("a in [" + ", ".join(map(str, range(-5, 2000))) + "]")
    mixed = parse("a in [" + ", ".join(f"({n})" for n in range(-5, 2000)) + "]")
    assert plain.right.values == tuple(range(-5, 2000))  # type: ignore[union-attr]
    assert len(mixed.right.items) == 2005  # type: ignore[union-attr]
    texts = parse("""a in ["x", 'y"z' , ""]""")
    assert texts.right.values == ("x", 'y"z', "")  # type: ignore[union-attr]


def test_a_thousand_conditions_are_one_flat_node() -> None:
    node = parse(" or ".join(f"a == {n}" for n in range(1000)))
    assert len(node.parts) == 1000  # type: ignore[union-attr]


def test_literals_mean_what_they_mean_in_c() -> None:
    assert [integer(t) for t in ("0", "17", "017", "0x1f", "0B11")] == [0, 17, 15, 31, 3]
    assert [floating(t) for t in (".5", "1.", "1e3", "0x1.8p-1")] == [0.5, 1.0, 1000.0, 0.75]
    assert text_of(r'u8"\a\t\\\'\"\101\x42é\U0001F600"') == "\a\t\\'\"ABé😀"
    assert text_of(r"'50\% \d'") == r"50\% \d"
    assert raw_text(r'r"\d\""') == r"\d\""
    with pytest.raises(ValueError, match="no such character"):
        text_of(r'"\ud800"')
