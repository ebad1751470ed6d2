"""Whether the tests notice single errors in the numeric core.

Breaks lines of the numeric core, drawn by a seed, one at a time, in a temporary copy of the
repository, and runs the fast tests of the broken package. Prints a table and the number noticed.

Usage: python tests/mutation.py [--seed 0] [--count 30] [--minutes 30] [--only sparsity]
"""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = {  # files of the core -> the tests that have to notice
    "mtsearch/pareto/*.py": "tests/pareto",
    "mtsearch/sparsity/*.py": "tests/sparsity",
    "mtsearch/balancing/*.py": "tests/balancing",
    "mtsearch/training/steps.py": "tests/training",
    "mtsearch/training/selection.py": "tests/training",
    "mtsearch/population/judge.py": "tests/population",
}
CONTEXT = multiprocessing.get_context("forkserver")  # each test run starts with torch imported
CONTEXT.set_forkserver_preload(["torch", "torchjd", "scipy.optimize", "pydantic", "hypothesis"])
COMPARED = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
}  # fmt: skip
COMPUTED = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.MatMult: "*", ast.Pow: "*"}


@dataclass(frozen=True)
class Mutation:
    """One change of one expression: the text from `start` to `end` of `line` becomes `text`."""

    path: str
    tests: str
    line: int
    start: int
    end: int
    text: str


def mutations(path: Path, tests: str) -> Iterator[Mutation]:
    """All changes of a file; messages of errors and annotations are left out."""
    tree = ast.parse(path.read_text())
    lines = path.read_text().splitlines()
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        for part in _not_numeric(node)
        for inner in ast.walk(part)
    }
    name = str(path.relative_to(ROOT))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            new, left, right = COMPARED.get(type(node.ops[0])), node.left, node.comparators[0]
        elif isinstance(node, ast.BinOp):
            new, left, right = COMPUTED.get(type(node.op)), node.left, node.right
        elif isinstance(node, ast.BoolOp):
            new, left, right = "or" if isinstance(node.op, ast.And) else "and", *node.values[:2]
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            value = node.value + 1 if isinstance(node.value, int) else node.value * 2 + 0.5
            yield Mutation(
                name, tests, node.lineno, node.col_offset, node.end_col_offset, str(value)
            )
            continue
        else:
            continue
        between = (left.end_col_offset, right.col_offset)
        if new is None or left.end_lineno != right.lineno:
            continue
        old = lines[right.lineno - 1][slice(*between)]
        if "(" not in old and ")" not in old:
            yield Mutation(name, tests, right.lineno, *between, f" {new} ")


def _not_numeric(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.Raise):
        return [node]
    if isinstance(node, ast.arg | ast.AnnAssign):
        return [node.annotation] if node.annotation else []
    if isinstance(node, ast.FunctionDef) and node.returns:
        return [node.returns]
    if isinstance(node, ast.Assign) and "|" in ast.unparse(node.value):
        return [node.value]  # a type alias
    return []


def draw(seed: int, count: int, only: str | None) -> list[Mutation]:
    """`count` mutations, each of another line."""
    found = [
        mutation
        for pattern, tests in CORE.items()
        if only is None or only in pattern
        for path in sorted(ROOT.glob(pattern))
        for mutation in mutations(path, tests)
    ]
    generator = random.Random(seed)
    generator.shuffle(found)
    by_line = {(m.path, m.line): m for m in reversed(found)}
    chosen = [m for m in found if by_line[m.path, m.line] is m]
    return chosen[:count]


def ordered_tests(copy: Path, mutation: Mutation) -> list[str]:
    """The test files of the package; those that name the broken module or one of its functions and
    classes come first, because they fail soonest."""
    path = copy / mutation.path
    defined = {
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    words = re.compile(rf"\b({'|'.join(sorted({path.stem, *defined}))})\b")
    files = sorted((copy / mutation.tests).rglob("test_*.py"))
    named = {file: len(words.findall(file.read_text())) for file in files}
    near = sorted(files, key=lambda file: (path.stem not in file.stem, -named[file]))
    return [str(file) for file in near]


def noticed(copy: Path, mutation: Mutation, timeout: float) -> str:
    """What the tests say about a mutation: `noticed`, `timeout` or `NOT NOTICED`."""
    path = copy / mutation.path
    tests = ordered_tests(copy, mutation)
    original = path.read_text()
    lines = original.splitlines(keepends=True)
    line = lines[mutation.line - 1].encode()  # columns count bytes
    changed = line[: mutation.start] + mutation.text.encode() + line[mutation.end :]
    lines[mutation.line - 1] = changed.decode()
    path.write_text("".join(lines))
    child = CONTEXT.Process(target=_run_tests, args=(str(copy), tests))
    child.start()
    child.join(timeout)
    try:
        if child.exitcode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.join()
            return "timeout"
    finally:
        path.write_text(original)
    return "noticed" if child.exitcode else "NOT NOTICED"


def _run_tests(copy: str, tests: list[str]) -> None:
    """Run tests in this process, which is the first of a group of its own."""
    import pytest

    os.setpgrp()
    os.chdir(copy)
    sys.path.insert(0, copy)  # before the paths of the parent
    out = os.open(os.devnull, os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(out, 2)
    words = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not cluster", *tests]
    os._exit(int(pytest.main(words)))


def main() -> int:
    """Run the check; 1 where more than 2 of 30 mutations are not noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--only", help="a part of the path, such as `sparsity`")
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    counts = {"noticed": 0, "timeout": 0, "NOT NOTICED": 0}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("mtsearch", "tests", "search_spaces", "datasets"):
            if (ROOT / name).exists():
                shutil.copytree(
                    ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__")
                )
        for name in ("pyproject.toml", "setup.cfg"):
            shutil.copy(ROOT / name, copy / name)
        os.environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        os.chdir(copy)
        for mutation in draw(given.seed, given.count, given.only):
            left = end - time.monotonic()
            if left < 20:
                break
            result = noticed(copy, mutation, min(left, 300))
            counts[result] += 1
            source = (copy / mutation.path).read_text().splitlines()[mutation.line - 1].encode()
            old = source[mutation.start : mutation.end].decode().strip()
            print(
                f"{result:12} {mutation.path}:{mutation.line} `{old}` -> `{mutation.text.strip()}`"
                f" in `{source.decode().strip()}`",
                flush=True,
            )
    total = sum(counts.values())
    print(f"{total - counts['NOT NOTICED']} of {total} noticed ({counts['timeout']} by a timeout)")
    return int(counts["NOT NOTICED"] > total * 2 / 30)


if __name__ == "__main__":
    sys.exit(main())
