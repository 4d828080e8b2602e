"""The grammar of filter formulas: comparisons over `&` over literals, fields and calls.

Arithmetic is not part of it: what the sandbox cannot evaluate it refuses, since a formula that silently matched
everything would hide a client's mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<field>\{(?:[^}\\]|\\.)*\})
      | (?P<number>\d+(?:\.\d+)?|\.\d+)
      | (?P<word>[^\W\d]\w*)
      | (?P<op><=|>=|!=|[=<>&(),-])
      | (?P<end>$)
    )""",
    re.VERBOSE | re.DOTALL,
)
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")


class FormulaSyntaxError(Exception):
    """The text is not a formula of the supported subset."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A string or a number."""

    value: str | float


@dataclass(frozen=True, slots=True)
class FieldRef:
    """A field by name or id."""

    key: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; the name is in upper case."""

    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """A comparison, or `&`."""

    op: str
    left: Node
    right: Node


Node = Literal | FieldRef | Call | Binary


@lru_cache(maxsize=256)
def parse(text: str) -> Node:
    """Returns the tree of a formula."""
    try:
        return _Parser(text).formula()
    except RecursionError:
        raise FormulaSyntaxError("nested too deeply") from None


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def formula(self) -> Node:
        node = self._comparison()
        if self.tokens[self.at][0] != "end":
            raise FormulaSyntaxError(f"unexpected {self.tokens[self.at][1]!r}")
        return node

    def _comparison(self) -> Node:
        node = self._joined()
        while self._peek(*COMPARISONS):
            node = Binary(self._next(), node, self._joined())
        return node

    def _joined(self) -> Node:
        node = self._primary()
        while self._peek("&"):
            node = Binary(self._next(), node, self._primary())
        return node

    def _primary(self) -> Node:
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "string":
            return Literal(_unescaped(text[1:-1]))
        if kind == "field":
            return FieldRef(_unescaped(text[1:-1]))
        if kind == "number":
            return Literal(_number(text))
        if kind == "word":
            # A one-word field name needs no braces.
            return Call(text.upper(), self._arguments()) if self._peek("(") else FieldRef(text)
        if text == "-" and self.tokens[self.at][0] == "number":
            return Literal(-_number(self._next()))
        if text == "(":
            node = self._comparison()
            self._expect(")")
            return node
        raise FormulaSyntaxError(f"unexpected {text!r}")

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        args: list[Node] = []
        if not self._peek(")"):
            args.append(self._comparison())
            while self._peek(","):
                self._next()
                args.append(self._comparison())
        self._expect(")")
        return tuple(args)

    def _peek(self, *ops: str) -> bool:
        kind, text = self.tokens[self.at]
        return kind == "op" and text in ops

    def _next(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1][1]

    def _expect(self, op: str) -> None:
        if not self._peek(op):
            raise FormulaSyntaxError(f"expected {op!r}")
        self.at += 1


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    while True:
        match = TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise FormulaSyntaxError(f"unexpected text at {at}")
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
        if match.lastgroup == "end":
            return tokens
        at = match.end()


def _unescaped(text: str) -> str:
    return ESCAPE.sub(lambda m: ESCAPES.get(m.group(1), m.group(1)), text) if "\\" in text else text


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)
