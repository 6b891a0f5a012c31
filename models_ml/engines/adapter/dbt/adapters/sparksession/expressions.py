"""Checks of SQL that becomes part of a query: conditions and costs of offers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+)
    | (?P<comment>--[^\n]*|/\*)
    | (?P<text>'(?:[^'\\]|'')*')
    | (?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>\|\||<>|!=|<=|>=|-(?!>)|[+*/%=<>(),])
    """,
    re.VERBOSE,
)
_BEYOND_THE_ROW = frozenset({"select", "from", "over", "exists", "with", "values", "table", "lambda"})
_KEYWORDS = frozenset({"and", "or", "not", "in", "between", "like", "is", "null", "true", "false"})
_CASES = frozenset({"case", "when", "then", "else", "end"})
_TIMES = frozenset({"interval", "day", "days", "month", "months", "year", "years"})
_TYPES = frozenset({"as", "date", "string", "int", "integer", "bigint", "double", "decimal", "boolean"})
_WORDS = _KEYWORDS | _CASES | _TIMES | _TYPES
_FORMS = frozenset({"cast", "try_cast", "coalesce"})  # written like functions
_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")


def expression_problem(
    expression: str,
    kind: str,
    features: Iterable[str],
    allowed: Iterable[str],
    yielded_type: Callable[[str], str],
) -> str | None:
    """Return what is wrong with a scalar expression over the columns of a row, in words; nothing where it is sound.

    The words of the text are checked first, so that nothing but columns, constants, operators and allowed functions can
    reach the engine; then the engine plans it.

    Parameters
    ----------
    expression : str
        SQL without a statement around it.
    kind : str
        What it must yield: ``condition`` or ``number``.
    features : iterable of str
        Names of the columns that it may read, in lower case.
    allowed : iterable of str
        Functions that it may call, in lower case.
    yielded_type : callable
        Returns the type that an engine finds for the expression, or raises ValueError with what it says instead.
    """
    tokens = _tokens(expression)
    if tokens is None or _BEYOND_THE_ROW.intersection(tokens) or not _is_closed(tokens):
        return "must be one expression over columns of customer_features, without subqueries"
    called, named = set(), set()
    for token, following in pairwise([*tokens, ""]):
        if token[0].isalpha() or token[0] == "_":
            (called if following == "(" else named).add(token)
    unknown = sorted(named - {*features, *_WORDS})
    if unknown:
        return f"names no feature: {', '.join(unknown)}"
    others = sorted(called - {*allowed, *_WORDS, *_FORMS})
    if others:
        return f"calls what is not allowed: {', '.join(others)}; allowed are {' '.join(allowed)}"
    if any(operand[:1] != ["nullif"] and not named.isdisjoint(operand) for operand in _divisors(tokens)):
        return "divides by a column, which may be 0: write nullif(divisor, 0), and around a cost coalesce(cost, 0)"
    if any(not named.isdisjoint(operand) for operand in _unguarded_operands(tokens)):
        return (
            "takes ln, sqrt or a power of a column, which may be 0 or less: write greatest(value, 1), with 0 at least"
            " for sqrt"
        )
    try:
        found = yielded_type(expression)
    except ValueError as error:
        return f"cannot be evaluated: {error}"
    if kind == "condition" and found != "boolean":
        return "must yield true or false"
    if kind == "number" and not found.startswith(_NUMBERS):
        return "must yield a number"
    return None


def _tokens(expression: str) -> list[str] | None:
    """Return the words and signs of a text in lower case, or nothing where it holds others or a comment."""
    tokens, place = [], 0
    while place < len(expression):
        found = _TOKEN.match(expression, place)
        if found is None or found.lastgroup == "comment":
            return None
        if found.lastgroup != "blank":
            tokens.append(found.group().lower())
        place = found.end()
    return tokens


def _is_closed(tokens: list[str]) -> bool:
    """Return whether each bracket is closed in its place, and no comma stands outside of brackets."""
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth < 0 or (depth == 0 and token == ","):
            return False
    return depth == 0


def _divisors(tokens: list[str]) -> Iterator[list[str]]:
    """Yield the words of each divisor: what follows a sign of division, and the second argument of mod."""
    for place, token in enumerate(tokens):
        if token in ("/", "%"):
            start = place + 1 + (tokens[place + 1 : place + 2] in (["+"], ["-"]))
            is_call = tokens[start + 1 : start + 2] == ["("]
            yield tokens[start : _end_of_operand(tokens, start + is_call)]
        elif tokens[place : place + 2] == ["mod", "("]:
            middle = _end_of_operand(tokens, place + 2, until=",")
            yield tokens[middle : _end_of_operand(tokens, place + 1)]


def _unguarded_operands(tokens: list[str]) -> Iterator[list[str]]:
    """Yield the words of what has a logarithm, a root or another power than a whole one taken, and no lower bound."""
    for place, (token, following) in enumerate(pairwise(tokens)):
        if following != "(" or token not in ("ln", "sqrt", "pow", "power"):
            continue
        end = _end_of_operand(tokens, place + 1)
        middle = _end_of_operand(tokens, place + 2, until=",") if "pow" in token else end
        operand, exponent = tokens[place + 2 : middle - 1], "".join(tokens[middle : end - 1])
        is_bounded = _lower_bound(operand) >= (0 if token == "sqrt" else 1e-9)
        if not is_bounded and not re.fullmatch(r"[0-9]+(\.0*)?", exponent):
            yield operand


def _lower_bound(operand: list[str]) -> float:
    """Return the number that is the second argument of a greatest which is the whole operand; -1 without one."""
    if operand[:2] != ["greatest", "("] or _end_of_operand(operand, 1) != len(operand):
        return -1.0
    second = _end_of_operand(operand, 2, until=",")
    number, *following = operand[second : second + 2] or [""]
    is_number = number[:1].isdigit() and following in ([")"], [","])
    return float(number) if is_number else -1.0


def _end_of_operand(tokens: list[str], start: int, until: str | None = None) -> int:
    """Return the place behind the word or bracket at ``start``, or behind the next sign ``until`` outside brackets."""
    depth = 0
    for place in range(start, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[place], 0)
        if depth <= 0 and until in (None, tokens[place]):
            return place + 1
    return len(tokens)
