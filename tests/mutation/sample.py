"""A random sample of all mutants: the same one for the same seed."""

from __future__ import annotations

import ast
import collections
import hashlib
import random
from pathlib import Path

from tests.mutation.finder import Finder
from tests.mutation.mutants import apply

PACKAGE = "smtpd_compat"


def module_of(checkout: Path, path: Path) -> str:
    """The name of a file of the package, such as ``_connection/_stream``."""
    return str(path.relative_to(checkout / PACKAGE).with_suffix(""))


def file_of(checkout: Path, module: str) -> Path:
    return checkout / PACKAGE / f"{module}.py"


def find_all(checkout: Path, seed: str):
    """All mutants that compile and change something, by module."""
    modules = {}
    for path in sorted((checkout / PACKAGE).rglob("*.py")):
        text = path.read_text()
        module = module_of(checkout, path)
        rng = random.Random(f"{seed}/{module}")
        good = []
        original = ast.dump(ast.parse(text))
        for m in Finder(module, text, rng).run():
            try:
                tree = ast.parse(apply(text, m))
                compile(tree, path.name, "exec")
            except (SyntaxError, ValueError):
                continue
            if ast.dump(tree) != original:
                m.seed = seed
                place = f"{module.replace('/', '.')}-{m.lines[0]}"
                m.id = f"{place}-{hash_of(m.key()) % 16**5:05x}"
                good.append(m)
        modules[module] = good
    return modules


def draw(modules, count: int, seed: int):
    """A sample: each module 5 or more, kinds by the root of their number."""
    total = sum(map(len, modules.values()))
    sample = []
    for name, mutants in modules.items():
        rng = random.Random(f"{seed}/draw/{name}")
        share = max(5, round(count * len(mutants) / total))
        pool = collections.defaultdict(list)
        for m in mutants:
            pool[m.kind].append(m)
        for kind in pool.values():
            rng.shuffle(kind)
        weights = {kind: len(ms) ** 0.5 for kind, ms in pool.items()}
        by_line = collections.Counter()
        chosen = []
        while pool and len(chosen) < share:
            kind = rng.choices(list(pool), [weights[k] for k in pool])[0]
            m = pool[kind].pop()
            if not pool[kind]:
                del pool[kind]
            if by_line[m.lines] >= 2 and sum(map(len, pool.values())) > share:
                continue
            by_line[m.lines] += 1
            chosen.append(m)
        sample += chosen
    return sample


def hash_of(text: str) -> int:
    return int(hashlib.sha1(text.encode()).hexdigest()[:12], 16)
