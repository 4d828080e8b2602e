"""Filter formulas, compiled once per listing to closures over a record.

Two shapes that a sync sends for every page get closures of their own: a modification time against a fixed
instant, and long ORs of `X = "text"` (with RECORD_ID() on the left they become plain look-ups).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.sandbox.airtable.errors import ApiError
from app.sandbox.airtable.formula_syntax import Binary, Call, FieldRef, FormulaSyntaxError, Literal, Node, parse
from app.sandbox.airtable.formula_values import PLAIN, EvaluationError, equal, ordered, truth, when
from app.sandbox.airtable.reads import moment_reader, operand, text
from app.sandbox.airtable.times import instant

if TYPE_CHECKING:
    from app.sandbox.airtable.table import Record, Table

Eval = Callable[["Record"], Any]
RECORD_ID = Call("RECORD_ID", ())


@dataclass(frozen=True, slots=True)
class Code:
    """A compiled part of a formula."""

    run: Eval
    #: does not look at the record
    constant: bool = False
    #: is a bool and never fails
    safe: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled formula."""

    keeps: Callable[[Record], Any]
    #: where the formula names the record ids: only these can match
    ids: frozenset[str] | None = None

    def select(self, table: Table) -> list[Record]:
        """Returns the records that match, in the table's order."""
        if self.ids is None:
            keeps = self.keeps
            return [record for record in table.records.values() if keeps(record)]
        found = (table.records.get(record_id) for record_id in self.ids)
        return sorted((record for record in found if record), key=lambda r: r.number)


def compile_filter(formula: str, table: Table) -> Filter:
    """Returns the filter of a formula; anything outside the subset is refused."""
    reason = "Invalid formula. Please check your formula text."
    try:
        node = parse(formula)
        if unknown := [key for key in dict.fromkeys(_field_keys(node)) if table.field(key) is None]:
            reason = f"Unknown field names: {', '.join(unknown)}"
            raise FormulaSyntaxError(reason)
        compiler = _Compiler(table)
        code = compiler.code(node)
    except FormulaSyntaxError as exc:
        message = f"The formula for filtering records is invalid: {reason}"
        raise ApiError(422, "INVALID_FILTER_BY_FORMULA", message) from exc
    return Filter(code.run if code.safe else _guarded(code.run), _named_ids(node))


def _guarded(run: Eval) -> Callable[[Record], bool]:
    def keeps(record: Record) -> bool:
        try:
            return truth(run(record))
        except (EvaluationError, OverflowError, ValueError):
            return False

    return keeps


def _field_keys(node: Node) -> list[str]:
    match node:
        case FieldRef(key):
            return [key]
        case Call(_, args):
            return [key for arg in args for key in _field_keys(arg)]
        case Binary(_, left, right):
            return [*_field_keys(left), *_field_keys(right)]
    return []


def _choice_of(node: Node) -> tuple[Node, str] | None:
    """Returns X and the text of `X = "text"`."""
    match node:
        case Binary("=", left, Literal(str(value))) | Binary("=", Literal(str(value)), left):
            return left, value
    return None


def _named_ids(node: Node) -> frozenset[str] | None:
    parts = node.args if isinstance(node, Call) and node.name == "OR" and node.args else (node,)
    choices = [_choice_of(part) for part in parts]
    named = [choice[1] for choice in choices if choice and choice[0] == RECORD_ID]
    return frozenset(named) if len(named) == len(parts) else None


class _Compiler:
    def __init__(self, table: Table) -> None:
        self.table = table
        self.now = table.store.clock.now()

    def code(self, node: Node) -> Code:
        match node:
            case Literal(value):
                return Code(lambda _: value, constant=True)
            case FieldRef(key):
                item = self.table.field(key)
                assert item is not None
                return Code(operand(item, self.table))
            case Binary(op, left, right):
                return self._binary(op, self.code(left), self.code(right))
            case Call(name, args):
                return self._call(name, args)

    def _binary(self, op: str, left: Code, right: Code) -> Code:
        a, b = left.run, right.run
        if op == "&":
            run: Eval = lambda r: text(a(r)) + text(b(r))  # noqa: E731 - one closure per branch
        elif op == "=":
            run = lambda r: equal(a(r), b(r))  # noqa: E731
        elif op == "!=":
            run = lambda r: not equal(a(r), b(r))  # noqa: E731
        else:
            run = lambda r: ordered(op, a(r), b(r))  # noqa: E731
        return _folded(run) if left.constant and right.constant else Code(run)

    def _call(self, name: str, args: tuple[Node, ...]) -> Code:
        match name:
            case "AND" | "OR" if args:
                return self._junction(name, args)
            case "IF" if len(args) in (2, 3):
                return self._if(args)
            case "NOW" | "TODAY" if not args:
                midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
                moment = self.now if name == "NOW" else midnight
                return Code(lambda _: moment, constant=True)
            case "RECORD_ID" if not args:
                return Code(operator.attrgetter("id"))
            case "CREATED_TIME" | "LAST_MODIFIED_TIME":
                seconds = self._seconds(Call(name, args))
                if seconds is not None:
                    return Code(lambda r: instant(seconds(r)))
            case "IS_BEFORE" | "IS_AFTER" | "IS_SAME" if len(args) == 2:
                return self._time_test(name, args) or self._plain(name, args)
        return self._plain(name, args)

    def _plain(self, name: str, args: tuple[Node, ...]) -> Code:
        if name not in PLAIN or not PLAIN[name][1] <= len(args) <= PLAIN[name][2]:
            raise FormulaSyntaxError(f"{name} of {len(args)} is not supported")
        function, codes = PLAIN[name][0], [self.code(arg) for arg in args]
        runs = [code.run for code in codes]
        if all(code.constant for code in codes):
            return _folded(lambda r: function(*(run(r) for run in runs)))
        if name == "NOT" and codes[0].safe:
            inner = runs[0]
            return Code(lambda r: not inner(r), safe=True)
        if len(runs) == 1:
            only = runs[0]
            return Code(lambda r: function(only(r)))
        return Code(lambda r: function(*(run(r) for run in runs)))

    def _junction(self, name: str, args: tuple[Node, ...]) -> Code:
        codes = self._memberships(args) if name == "OR" else [self.code(arg) for arg in args]
        runs, wanted = [code.run for code in codes], name == "OR"
        if len(codes) == 1:
            only = codes[0]
            return only if only.safe else Code(lambda r: truth(only.run(r)))

        def run(record: Record) -> bool:
            # Every argument is evaluated: an error in one of them makes the whole call an error.
            results = [truth(part(record)) for part in runs]
            return wanted in results if wanted else False not in results

        def run_safely(record: Record) -> bool:
            # A safe argument cannot fail, so the first one decides.
            for part in runs:
                if bool(part(record)) is wanted:
                    return wanted
            return not wanted

        safe = all(code.safe for code in codes)
        return Code(run_safely if safe else run, safe=safe)

    def _memberships(self, args: tuple[Node, ...]) -> list[Code]:
        """Turns the arguments `X = "a"`, `X = "b"` of an OR into one test each for X."""
        sets: dict[Node, set[str]] = {}
        codes: list[Code] = []
        for arg in args:
            choice = _choice_of(arg)
            if choice is None:
                codes.append(self.code(arg))
            else:
                sets.setdefault(choice[0], set()).add(choice[1])
        return [*codes, *(self._membership(self.code(node).run, values) for node, values in sets.items())]

    def _membership(self, run: Eval, values: set[str]) -> Code:
        return Code(lambda r: text(run(r)) in values)

    def _if(self, args: tuple[Node, ...]) -> Code:
        test, then = self.code(args[0]).run, self.code(args[1]).run
        other = self.code(args[2]).run if len(args) == 3 else (lambda _: None)
        return Code(lambda r: then(r) if truth(test(r)) else other(r))

    def _time_test(self, name: str, args: tuple[Node, ...]) -> Code | None:
        """Compares a modification or creation time with a fixed instant, as numbers."""
        seconds, fixed = self._seconds(args[0]), self.code(args[1])
        if seconds is None or not fixed.constant:
            return None
        try:
            limit = when(fixed.run(_NOBODY)).timestamp()
        except EvaluationError:
            return None
        # No such time is later than the record's last edit, so most records are decided by that alone.
        match name:
            case "IS_BEFORE":
                return Code(lambda r: r.edited < limit or seconds(r) < limit, safe=True)
            case "IS_AFTER":
                return Code(lambda r: r.edited > limit and seconds(r) > limit, safe=True)
        return Code(lambda r: seconds(r) == limit, safe=True)

    def _seconds(self, node: Node) -> Callable[[Record], float] | None:
        """Returns how to read a record's time in seconds where the node is such a time."""
        match node:
            case FieldRef(key):
                item = self.table.field(key)
                is_exact = item is not None and (item.options.get("result") or {}).get("type") != "date"
                return moment_reader(item) if item is not None and is_exact else None
            case Call("CREATED_TIME", ()):
                return operator.attrgetter("created")
            case Call("LAST_MODIFIED_TIME", ()):
                return operator.attrgetter("edited")
            case Call("LAST_MODIFIED_TIME", args) if all(isinstance(arg, FieldRef) for arg in args):
                watched = tuple(self._field_id(arg) for arg in args)
                return lambda r: r.edited_among(watched)
        return None

    def _field_id(self, node: Node) -> str:
        assert isinstance(node, FieldRef)
        item = self.table.field(node.key)
        assert item is not None
        return item.id


#: constants never look at the record they are given
_NOBODY: Any = None


def _folded(run: Eval) -> Code:
    try:
        value = run(_NOBODY)
    except (EvaluationError, OverflowError, ValueError):
        # The error belongs to the records, not to the formula: it leaves each of them out.
        return Code(run, constant=True)
    if isinstance(value, bool):
        return Code(lambda _: value, constant=True, safe=True)
    return Code(lambda _: value, constant=True)
