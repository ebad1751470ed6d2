"""Expressions over metrics, such as ``0.7*val/a/error + 0.3*val/b/loss``: parsed, never run as
code."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LONGEST = 2000  # characters
DEEPEST = 40  # nested brackets and signs

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*(?:/[A-Za-z_]\w*)*)"
    r"|(?P<sign>[-+*/(),]))"
)
_FUNCTIONS: Mapping[str, Callable[..., float]] = {"min": min, "max": max}

Node = Callable[[Mapping[str, float]], float]


class Undefined(ArithmeticError):
    """An expression has no finite value. The message is the end of a sentence."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Attributes:
        text: as the user wrote it.
        names: the metrics that it reads, in the order of their first use.
    """

    text: str
    names: tuple[str, ...]
    _root: Node

    def __call__(self, values: Mapping[str, float]) -> float:
        """Compute the value.

        Args:
            values: a finite number for each of `names`; others are ignored.

        Raises:
            Undefined: it divides by zero, or the value is not finite.
        """
        try:
            found = self._root(values)
        except ZeroDivisionError:
            raise Undefined(f"`{self.text}` divides by zero") from None
        except OverflowError:
            raise Undefined(f"`{self.text}` is too large") from None
        if not math.isfinite(found):
            raise Undefined(f"`{self.text}` is {found}")
        return found


def parse_expression(text: str) -> Expression:
    """Parse numbers, names of metrics, ``+ - * / ( )``, ``min(...)`` and ``max(...)``.

    A ``/`` between letters without spaces is part of a name: ``val/a/error`` is a metric, and
    ``val/a/error / val/b/error`` is a quotient.

    Raises:
        ValueError: the text is no expression; the message names the place.
    """
    if len(text) > LONGEST:
        raise ValueError(f"should have at most {LONGEST} characters. Found {len(text)}")
    parser = _Parser(_tokens(text))
    root = parser.sum()
    parser.end()
    return Expression(text, tuple(dict.fromkeys(parser.names)), root)


def _tokens(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(
                f"should consist of numbers, names of metrics, + - * / ( ), min and max. Found"
                f" {text[place:].strip()[:20]!r} at character {place + 1}"
            )
        kind = str(match.lastgroup)
        found.append((kind, match[kind]))
        place = match.end()
    return found


class _Parser:
    """Recursive descent: sum := product (+|- product)*; product := factor (*|/ factor)*."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens, self._next, self._depth = tokens, 0, 0
        self.names: list[str] = []

    def sum(self) -> Node:
        left = self._product()
        while (sign := self._take("+", "-")) is not None:
            left = _joined(sign, left, self._product())
        return left

    def end(self) -> None:
        if self._next < len(self._tokens):
            raise ValueError(f"should end after a value. Found {self._found()}")

    def _product(self) -> Node:
        left = self._factor()
        while (sign := self._take("*", "/")) is not None:
            left = _joined(sign, left, self._factor())
        return left

    def _factor(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"should have at most {DEEPEST} nested brackets. Found more")
        try:
            return self._value()
        finally:
            self._depth -= 1

    def _value(self) -> Node:
        if self._take("-") is not None:
            inner = self._factor()
            return lambda values: -inner(values)
        if self._take("+") is not None:
            return self._factor()
        if self._take("(") is not None:
            inner = self.sum()
            self._expect(")")
            return inner
        kind, text = self._tokens[self._next] if self._next < len(self._tokens) else ("", "")
        if kind not in ("number", "name"):
            raise ValueError(f"should have a number or a metric. Found {self._found()}")
        self._next += 1
        if kind == "number":
            number = float(text)
            return lambda values: number
        if text in _FUNCTIONS and self._take("(") is not None:
            return self._call(text)
        self.names.append(text)
        return lambda values: float(values[text])

    def _call(self, name: str) -> Node:
        parts = [self.sum()]
        while self._take(",") is not None:
            parts.append(self.sum())
        self._expect(")")
        function = _FUNCTIONS[name]
        return lambda values: function([part(values) for part in parts])

    def _take(self, *signs: str) -> str | None:
        if self._next < len(self._tokens) and self._tokens[self._next] in [
            ("sign", sign) for sign in signs
        ]:
            self._next += 1
            return self._tokens[self._next - 1][1]
        return None

    def _expect(self, sign: str) -> None:
        if self._take(sign) is None:
            raise ValueError(f"should have a `{sign}`. Found {self._found()}")

    def _found(self) -> str:
        rest = self._tokens[self._next :]
        return f"`{rest[0][1]}`" if rest else "the end"


def _joined(sign: str, left: Node, right: Node) -> Node:
    if sign == "+":
        return lambda values: left(values) + right(values)
    if sign == "-":
        return lambda values: left(values) - right(values)
    if sign == "*":
        return lambda values: left(values) * right(values)
    return lambda values: left(values) / right(values)
