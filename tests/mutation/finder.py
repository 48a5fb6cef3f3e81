"""Finds the mutants of a module: what to change, and into what."""

from __future__ import annotations

import ast
import random

from tests.mutation.mutants import Mutant

_COMPARE = {
    ast.Lt: ["<=", ">="],
    ast.LtE: ["<", ">"],
    ast.Gt: [">=", "<="],
    ast.GtE: [">", "<"],
    ast.Eq: ["!="],
    ast.NotEq: ["=="],
    ast.Is: ["is not"],
    ast.IsNot: ["is"],
    ast.In: ["not in"],
    ast.NotIn: ["in"],
}
_ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.BitXor: ast.BitOr,
}
_CALLS = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "lower": "upper",
    "upper": "lower",
    "partition": "rpartition",
    "rpartition": "partition",
    "rsplit": "split",
    "startswith": "endswith",
    "endswith": "startswith",
    "strip": "lstrip",
    "rstrip": "strip",
    "lstrip": "strip",
    "match": "search",
    "search": "match",
    "popleft": "pop",
    "appendleft": "append",
    "issubclass": "isinstance",
    "find": "rfind",
}
_OPS = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}


class Finder:
    """Finds the mutants of one module, by its syntax tree."""

    def __init__(self, module: str, text: str, rng: random.Random):
        self.module, self.text, self.rng = module, text, rng
        self.bytes = text.encode()
        self.starts = [0]
        for line in self.bytes.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.found: list[Mutant] = []
        self.scope = None  # the innermost function
        self.lines = (1, 1)
        self.names: list[str] = []

    def at(self, line, col):
        return self.starts[line - 1] + col

    def span(self, node):
        return (
            self.at(node.lineno, node.col_offset),
            self.at(node.end_lineno, node.end_col_offset),
        )

    def src(self, node):
        a, b = self.span(node)
        return self.bytes[a:b].decode()

    def add(self, kind, node, new, what=None, span=None):
        a, b = span or self.span(node)
        old = self.bytes[a:b].decode()
        if old == new:
            return
        what = what or f"{' '.join(old.split())[:70]}  ->  {' '.join(new.split())[:70]}"
        self.found.append(
            Mutant(
                self.module,
                self.lines,
                kind,
                a,
                b,
                new,
                what,
                self.scope,
                list(self.names),
            )
        )

    def run(self):
        self.body(ast.parse(self.text).body, top=True)
        return self.found

    # statements

    def body(self, stmts, top=False):
        for stmt in stmts:
            is_doc = (
                isinstance(stmt, ast.Expr)
                and isinstance(stmt.value, ast.Constant)
                and isinstance(stmt.value.value, str)
            )
            if not is_doc:
                self.statement(stmt)

    def statement(self, s):
        if isinstance(
            s, (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Pass)
        ):
            return
        if (
            isinstance(s, ast.If)
            and isinstance(s.test, ast.Name)
            and s.test.id == "TYPE_CHECKING"
        ):
            return
        if isinstance(s, ast.Assign) and self.src(s).startswith(
            ("TYPE_CHECKING", "__slots__")
        ):
            return
        outer = self.lines, self.names, self.scope
        self.header(s)
        if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self.function(s)
        elif isinstance(s, ast.ClassDef):
            self.body(s.body)
        elif isinstance(s, ast.If):
            self.condition(s.test)
            self.body(s.body)
            self.body(s.orelse)
        elif isinstance(s, ast.While):
            self.add("while", s.test, "False")
            self.expression(s.test)
            self.body(s.body)
            self.body(s.orelse)
        elif isinstance(s, ast.For):
            self.expression(s.iter)
            self.body(s.body)
            self.body(s.orelse)
        elif isinstance(s, ast.With):
            for item in s.items:
                self.expression(item.context_expr)
            self.body(s.body)
        elif isinstance(s, ast.Try):
            self.body(s.body)
            for handler in s.handlers:
                self.handler(handler)
            self.body(s.orelse)
            if s.finalbody:
                self.body(s.finalbody)
        else:
            self.simple(s)
        self.lines, self.names, self.scope = outer

    def header(self, s):
        body = getattr(s, "body", None)
        last = s.end_lineno
        if isinstance(body, list) and body:
            last = max(s.lineno, body[0].lineno - 1)
        self.lines = (s.lineno, last)
        if isinstance(s, (ast.Assign, ast.AnnAssign)):
            targets = s.targets if isinstance(s, ast.Assign) else [s.target]
            self.names = [t.id for t in targets if isinstance(t, ast.Name)]

    def function(self, f):
        self.scope = (f.lineno, f.end_lineno, f.body[0].lineno)
        first = f.body[0].lineno
        self.names = [f.name]
        body = self.lines
        self.lines = (first, f.end_lineno)
        for default in [*f.args.defaults, *filter(None, f.args.kw_defaults)]:
            before = len(self.found)
            self.expression(default)
            if isinstance(default, ast.Constant) and default.value is None:
                pass
            for m in self.found[before:]:
                m.kind = "default"
        for decorator in f.decorator_list:
            if isinstance(decorator, ast.Call):
                self.expression(decorator)
        self.lines = body
        self.body(f.body)

    def handler(self, h):
        outer = self.lines
        self.lines = (h.lineno, max(h.lineno, h.body[0].lineno - 1))
        if h.type is not None:
            if isinstance(h.type, ast.Tuple):
                for n in range(len(h.type.elts)):
                    rest = [self.src(e) for m, e in enumerate(h.type.elts) if m != n]
                    self.add("except", h.type, "(" + ", ".join(rest) + ",)")
            else:
                self.add("except", h.type, "ZeroDivisionError")
                if self.src(h.type) in (
                    "OSError",
                    "TypeError",
                    "ValueError",
                    "AttributeError",
                ):
                    self.add("except", h.type, "Exception")
        self.body(h.body)
        self.lines = outer

    def remove(self, s):
        a, b = self.span(s)
        lines = self.bytes[a:b].count(b"\n")
        self.add(
            "remove",
            s,
            "pass" + "\n" * lines,
            what="removed: " + " ".join(self.src(s).split())[:90],
        )

    def simple(self, s):
        if isinstance(s, ast.Return):
            if s.value is None or (
                isinstance(s.value, ast.Constant) and s.value.value is None
            ):
                self.remove(s)
            else:
                if not isinstance(s.value, ast.Constant):
                    self.add("return", s.value, "None")
                if isinstance(s.value, ast.Constant) or self.rng.random() < 0.3:
                    self.remove(s)
                self.expression(s.value)
            return
        if isinstance(s, ast.Raise):
            self.remove(s)
            if isinstance(s.exc, ast.Call):
                self.add("raise", s.exc.func, "ArithmeticError")
                for arg in s.exc.args:
                    self.expression(arg)
            return
        if isinstance(s, (ast.Break, ast.Continue)):
            self.remove(s)
            self.add("jump", s, "break" if isinstance(s, ast.Continue) else "continue")
            return
        if isinstance(s, ast.Expr):
            self.remove(s)
            self.expression(s.value)
        elif isinstance(s, ast.Assign):
            if self.scope is not None:
                self.remove(s)
            elif isinstance(s.targets[0], ast.Attribute):
                self.remove(s)
            self.expression(s.value)
        elif isinstance(s, ast.AnnAssign):
            if s.value is not None:
                if isinstance(s.target, ast.Attribute):
                    self.remove(s)
                self.expression(s.value)
        elif isinstance(s, ast.AugAssign):
            self.remove(s)
            new = _ARITHMETIC.get(type(s.op))
            if new is not None:
                clone = ast.AugAssign(target=s.target, op=new(), value=s.value)
                self.add("arithmetic", s, ast.unparse(ast.fix_missing_locations(clone)))
            self.expression(s.value)
        elif isinstance(s, ast.Delete):
            self.remove(s)
        elif isinstance(s, ast.Assert):
            self.expression(s.test)

    # expressions

    def condition(self, test):
        text = self.src(test)
        self.add("negate", test, f"not ({text})")
        if self.rng.random() < 0.5:
            self.add("always", test, self.rng.choice(["True", "False"]))
        self.expression(test)

    def expression(self, e):
        if e is None:
            return
        if isinstance(e, ast.JoinedStr):
            for n, part in enumerate(e.values):
                if isinstance(part, ast.Constant) and part.value.strip():
                    clone = ast.JoinedStr(values=list(e.values))
                    clone.values[n] = ast.Constant(self.changed(part.value))
                    try:
                        new = ast.unparse(ast.fix_missing_locations(clone))
                    except ValueError:
                        continue
                    self.add("string", e, new)
            return
        if isinstance(e, ast.Lambda):
            self.expression(e.body)
            return
        if isinstance(e, ast.Constant):
            self.constant(e)
            return
        if isinstance(e, ast.Compare):
            self.compare(e)
        elif isinstance(e, ast.BoolOp):
            words = [f"({self.src(v)})" for v in e.values]
            new = " or " if isinstance(e.op, ast.And) else " and "
            self.add("andor", e, "(" + new.join(words) + ")")
            old = " and " if isinstance(e.op, ast.And) else " or "
            for n in range(len(words)):
                self.add("operand", e, "(" + old.join(words[:n] + words[n + 1 :]) + ")")
        elif isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.Not):
            self.add("not", e, f"bool({self.src(e.operand)})")
        elif isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
            self.add("arithmetic", e, f"(+{self.src(e.operand)})")
        elif isinstance(e, ast.BinOp):
            new = _ARITHMETIC.get(type(e.op))
            literal = isinstance(e.left, (ast.Constant, ast.JoinedStr)) and isinstance(
                getattr(e.left, "value", ""), str
            )
            if new is not None and not literal:
                clone = ast.BinOp(left=e.left, op=new(), right=e.right)
                self.add("arithmetic", e, "(" + ast.unparse(clone) + ")")
        elif isinstance(e, ast.IfExp):
            self.add(
                "ifexp",
                e,
                f"({self.src(e.orelse)} if {self.src(e.test)} else {self.src(e.body)})",
            )
        elif isinstance(e, ast.Call):
            self.call(e)
        elif isinstance(e, (ast.Tuple, ast.List, ast.Set)) and len(e.elts) > 1:
            if isinstance(getattr(e, "ctx", ast.Load()), ast.Load):
                for n in range(len(e.elts)):
                    rest = [self.src(v) for m, v in enumerate(e.elts) if m != n]
                    left, right = {ast.Tuple: "()", ast.List: "[]", ast.Set: "{}"}[
                        type(e)
                    ]
                    self.add("element", e, f"{left}{', '.join(rest)},{right}")
        elif isinstance(e, ast.Dict) and len(e.keys) > 1:
            for n in range(len(e.keys)):
                rest = [
                    (f"{self.src(k)}: " if k else "**") + self.src(v)
                    for m, (k, v) in enumerate(zip(e.keys, e.values))
                    if m != n
                ]
                key = self.src(e.keys[n]) if e.keys[n] else "**"
                self.add(
                    "element",
                    e,
                    "{" + ", ".join(rest) + "}",
                    what=f"entry {key} removed",
                )
        elif isinstance(e, ast.Subscript) and isinstance(e.slice, ast.Slice):
            part = e.slice
            pieces = [self.src(x) if x else "" for x in (part.lower, part.upper)]
            value = self.src(e.value)
            if pieces[0]:
                self.add("slice", e, f"{value}[:{pieces[1]}]")
                self.add("slice", e, f"{value}[{pieces[0]} + 1:{pieces[1]}]")
            if pieces[1]:
                self.add("slice", e, f"{value}[{pieces[0]}:]")
                self.add("slice", e, f"{value}[{pieces[0]}:{pieces[1]} - 1]")
        elif isinstance(e, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            for generator in e.generators:
                for test in generator.ifs:
                    self.add("filter", test, "True")
        for child in ast.iter_child_nodes(e):
            self.children(child)

    def children(self, node):
        if isinstance(node, ast.expr):
            self.expression(node)
        elif isinstance(node, ast.keyword):
            self.expression(node.value)
        elif isinstance(node, ast.comprehension):
            self.expression(node.iter)
            for test in node.ifs:
                self.expression(test)

    def compare(self, e):
        for n, op in enumerate(e.ops):
            for new in _COMPARE[type(op)]:
                parts = [self.src(e.left)]
                for m, (o, right) in enumerate(zip(e.ops, e.comparators)):
                    parts += [new if m == n else _OPS[type(o)], self.src(right)]
                self.add("compare", e, "(" + " ".join(parts) + ")")

    def call(self, e):
        f = e.func
        name = f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "")
        if name in _CALLS:
            if isinstance(f, ast.Attribute):
                end = self.span(f)[1]
                self.add(
                    "method",
                    f,
                    _CALLS[name],
                    span=(end - len(name), end),
                    what=f"{self.src(f)}  ->  {_CALLS[name]}",
                )
            else:
                self.add("method", f, _CALLS[name])
        arguments = [self.src(a) for a in e.args] + [
            (f"{k.arg}=" if k.arg else "**") + self.src(k.value) for k in e.keywords
        ]
        if isinstance(f, ast.Name) and f.id in (
            "isinstance",
            "getattr",
            "setattr",
            "hasattr",
            "partial",
            "cast",
        ):
            return
        if len(arguments) == 1 and isinstance(
            e.args[0] if e.args else None, ast.GeneratorExp
        ):
            return
        optional = (
            range(len(e.args), len(arguments))
            if e.keywords
            else ([len(arguments) - 1] if len(arguments) > 1 else [])
        )
        for n in optional:
            rest = arguments[:n] + arguments[n + 1 :]
            self.add(
                "argument",
                e,
                f"{self.src(f)}({', '.join(rest)})",
                what=f"{' '.join(self.src(e).split())[:60]}: "
                f"argument {arguments[n][:30]} dropped",
            )

    def changed(self, value):
        if isinstance(value, str):
            if len(value) > 2 and self.rng.random() < 0.6:
                n = self.rng.randrange(len(value))
                return value[:n] + value[n + 1 :]
            return "XX" + value
        if len(value) > 1 and self.rng.random() < 0.6:
            n = self.rng.randrange(len(value))
            return value[:n] + value[n + 1 :]
        return b"XX" + value

    def constant(self, e):
        v = e.value
        if v is None or v is Ellipsis:
            return
        if isinstance(v, bool):
            self.add("bool", e, repr(not v))
        elif isinstance(v, int):
            self.add("number", e, repr(v + 1))
            self.add("number", e, f"({v - 1})")
        elif isinstance(v, float):
            self.add("number", e, repr(v * 2 + 1))
        elif isinstance(v, (str, bytes)):
            if "\n" in self.src(e).strip() and len(v) > 400:
                self.add("string", e, repr(self.changed(v)))
            else:
                self.add("string", e, repr(self.changed(v)))
