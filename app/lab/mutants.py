"""Mutants: small defects in a file of the domain, made one at a time.

A mutant swaps an operator, changes a constant, lets a condition always or never hold, returns nothing, or leaves a
statement out. What describes a shape and no behaviour is left alone: types, decorators, docstrings.

Rejected: mutmut, which leaves tables, properties and cached functions as they are, and cosmic-ray, which starts the
tests anew where a fork will do; neither draws a sample from a seed.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec
from pathlib import Path

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
_SHAPE_FIELDS = {"decorator_list", "annotation", "returns", "format_spec"}
#: arguments of a dataclass field
_SHAPE_WORDS = {"init", "compare", "repr"}


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a syntax tree that a node can be put into."""

    #: the names of the module, the class and the function around it
    where: tuple[str, ...]
    statement: ast.AST
    owner: ast.AST
    field: str
    index: int | None

    def put(self, node: ast.AST) -> None:
        """Replaces what is there."""
        if self.index is None:
            setattr(self.owner, self.field, node)
        else:
            getattr(self.owner, self.field)[self.index] = node


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect: where it is, and how the line reads without it and with it."""

    path: Path
    line: int
    before: str
    after: str
    tree: ast.Module
    spot: Spot
    node: ast.AST

    @property
    def key(self) -> str:
        """The name by which it is argued; it outlives a move within the file."""
        return f"{'.'.join(self.spot.where)}: {self.before} -> {self.after}"

    def plant(self, package: str) -> None:
        """Imports the module with the defect, before anything else has imported it."""
        self.spot.put(self.node)
        code = compile(ast.fix_missing_locations(self.tree), self.path, "exec")
        spec = find_spec(f"{package}.{self.path.stem}")
        assert spec is not None
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        exec(code, module.__dict__)  # noqa: S102 - it is our own source, but for one defect


def mutants(path: Path) -> Iterator[Mutant]:
    """Makes every mutant of a file; all share one syntax tree, which is left as it was."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for spot, old, new in _defects(tree, (path.stem,), tree, None):
        if isinstance(old, ast.stmt):
            before, after = ast.unparse(old), ast.unparse(new)
        else:
            before = ast.unparse(spot.statement)
            spot.put(new)
            after = ast.unparse(spot.statement)
            spot.put(old)
        line = getattr(old, "lineno", getattr(spot.owner, "lineno", getattr(spot.statement, "lineno", 0)))
        yield Mutant(path, line, *_difference(before, after), tree, spot, new)


def _difference(before: str, after: str) -> tuple[str, str]:
    """Returns the lines that differ; of a table that is one long line, the words around the difference."""
    old, new = next(pair for pair in zip(before.splitlines(), after.splitlines(), strict=False) if pair[0] != pair[1])
    old, new = old.strip(), new.strip()
    if len(old) < 200:
        return old, new
    start = next(place for place, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1])
    around = slice(max(0, start - 60), start + 40)
    return old[around].strip(), new[around].strip()


def _defects(
    owner: ast.AST, where: tuple[str, ...], statement: ast.AST, bound: set[str] | None
) -> Iterator[tuple[Spot, ast.AST, ast.AST]]:
    """Walks the tree; `bound` are the names of the function that have a value already, None outside of functions."""
    for field, value in ast.iter_fields(owner):
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or field in _SHAPE_FIELDS or _is_shape(node, owner):
                continue
            spot = Spot(where, statement, owner, field, index)
            for new in _replacements(node, owner, field, bound):
                yield spot, node, new
            inner, names = where, bound
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                inner, names = (*where, node.name), None
            if isinstance(node, ast.FunctionDef):
                names = {word.arg for word in ast.walk(node.args) if isinstance(word, ast.arg)}
            yield from _defects(node, inner, node if isinstance(node, ast.stmt) else statement, names)
            if bound is not None and isinstance(node, ast.Assign | ast.AnnAssign):
                bound.update(name.id for name in ast.walk(node) if isinstance(name, ast.Name))


def _is_shape(node: ast.AST, owner: ast.AST) -> bool:
    """Tells what is no behaviour: docstrings, assertions for the type checker, types, the repr of a dataclass."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Assert() | ast.Subscript(value=ast.Name(id="Literal")):
            return True
        case ast.keyword(arg=word):
            return word in _SHAPE_WORDS
        case ast.Call(func=ast.Name(id=name)):
            return name == "TypeVar"
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name == "__all__"
        case ast.BinOp(op=ast.BitOr()):
            return all(_is_type(leaf) for leaf in ast.walk(node) if isinstance(leaf, ast.expr))
        case ast.Constant():
            return isinstance(owner, ast.JoinedStr)
    return False


def _is_type(leaf: ast.expr) -> bool:
    if isinstance(leaf, ast.Name):
        is_class = leaf.id[0].isupper() and not leaf.id.isupper()
        return is_class or isinstance(getattr(builtins, leaf.id, None), type)
    return isinstance(leaf, ast.BinOp)


def _replacements(node: ast.AST, owner: ast.AST, field: str, bound: set[str] | None) -> Iterator[ast.AST]:
    """Makes what can stand in the place of a node."""
    if field == "test" or (isinstance(owner, ast.comprehension) and field == "ifs"):
        yield ast.Constant(value=False)
        if not isinstance(owner, ast.While):
            yield ast.Constant(value=True)
    if type(node) in _SWAPS:
        yield _SWAPS[type(node)]()
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(value=not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value=value + 1)
        case ast.Constant(value=str() as value):
            yield ast.Constant(value="" if value else "mutant")
        case ast.JoinedStr():
            yield ast.Constant(value="")
        case ast.match_case(guard=None):
            yield ast.match_case(pattern=node.pattern, guard=ast.Constant(value=False), body=node.body)
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(value=ast.Constant(value=None))
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Break():
            yield ast.Pass()
        case ast.Assign(targets=targets) if bound is not None:
            names = [name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            if all(name.id in bound or isinstance(name.ctx, ast.Load) for name in names):
                # otherwise a name would have no value, and everybody would notice
                yield ast.Pass()
