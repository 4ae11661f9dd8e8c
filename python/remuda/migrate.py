"""From one global ModelManager to remuda's managers:  python -m remuda.migrate PATH...

Finds uses of a singleton class, shows as a diff what it would change, and changes it with --write. What it can't do it
names, with file and line, and leaves as it is; MIGRATION_GUIDE.md says what to do there. Needs libcst
(``pip install 'remuda[migrate]'``).

Exit status: 0 when nothing is left to do by hand, 1 when something is, 2 for bad usage.
"""

from __future__ import annotations

import argparse
import difflib
import pathlib
import sys
from typing import Any
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

try:
    import libcst as cst
    from libcst.metadata import MetadataWrapper, PositionProvider
except ImportError:  # pragma: no cover
    sys.exit("remuda.migrate needs libcst: pip install 'remuda[migrate]'")

#: What a singleton's methods are called, and what remuda's manager calls the same.
EMBEDDING_METHODS = {
    "embed": "embed_text",
    "embed_text": "embed_text",
    "get_embedding": "embed_text",
    "embed_batch": "encode",
    "embed_texts": "encode",
    "get_embeddings": "encode",
    "encode": "encode",
}
SUMMARIZATION_METHODS = {
    "summarize": "summarize_text",
    "summarize_text": "summarize_text",
    "generate_summary": "summarize_text",
    "summarize_batch": "summarize_texts",
    "summarize_texts": "summarize_texts",
}
#: Class methods that give the one instance.
ACCESSORS = {"get_instance", "instance", "shared", "getInstance"}
#: What can't be rewritten without knowing the code around it.
ADVICE = {
    "get_summarization_model": "uses the model itself: call summarizer.summarize_text(text), or lease an instance",
    "get_embedding_model": "uses the model itself: call embedder.encode(texts), or lease an instance",
    "get_model": "uses the model itself: call a method of a manager, or subclass AbstractModelManager",
    "get_tokenizer": "uses the tokenizer itself: managers take text; AbstractModelManager has instance.tokenizer",
    "get_device": "is manager.get_device() of the manager that you mean",
    "cleanup": "is manager.cleanup() of each manager",
    "unload": "is manager.cleanup() of each manager",
    "reset": "is manager.close(), and a new manager; in tests use remuda.testing",
}


@dataclass
class Findings:
    """What was found in a file."""

    calls: int = 0
    kinds: set[str] = field(default_factory=set)
    left: list[tuple[int, str]] = field(default_factory=list)


def _is_singleton(node: cst.BaseExpression, name: str) -> bool:
    """Whether it is ``Name()``, ``Name.get_instance()`` or the like."""
    if not isinstance(node, cst.Call):
        return False
    function = node.func
    if isinstance(function, cst.Attribute) and function.attr.value in ACCESSORS:
        function = function.value
    return isinstance(function, cst.Name) and function.value == name


class _Collector(cst.CSTVisitor):
    """The variables that hold the singleton, every use of it, and where the class is defined or imported."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.variables: set[str] = set()
        self.imported = False
        self.findings = Findings()

    def _line(self, node: cst.CSTNode) -> int:
        position: Any = self.get_metadata(PositionProvider, node)
        line: int = position.start.line
        return line

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        if isinstance(node.names, cst.ImportStar):
            return
        for alias in node.names:
            if alias.evaluated_name == self.name:
                self.imported = True
                if alias.asname is not None:
                    self.findings.left.append((self._line(node), f"imports {self.name} under another name"))

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        if node.name.value == self.name:
            self.findings.left.append(
                (self._line(node), f"defines {self.name}: delete it when nothing uses it any more")
            )

    def visit_Assign(self, node: cst.Assign) -> None:
        if _is_singleton(node.value, self.name):
            for target in node.targets:
                if isinstance(target.target, cst.Name):
                    self.variables.add(target.target.value)
                else:
                    self.findings.left.append((self._line(node), f"keeps {self.name} in an attribute or an item"))

    def _is_it(self, node: cst.BaseExpression) -> bool:
        return _is_singleton(node, self.name) or (isinstance(node, cst.Name) and node.value in self.variables)

    def visit_Attribute(self, node: cst.Attribute) -> None:
        method = node.attr.value
        on_class = isinstance(node.value, cst.Name) and node.value.value == self.name
        if on_class and method in ACCESSORS:
            return
        if not on_class and not self._is_it(node.value):
            return
        if method in EMBEDDING_METHODS and not on_class:
            self.findings.kinds.add("embedder")
            self.findings.calls += 1
        elif method in SUMMARIZATION_METHODS and not on_class:
            self.findings.kinds.add("summarizer")
            self.findings.calls += 1
        else:
            advice = ADVICE.get(method, "is unknown here: say it with a manager's own methods")
            self.findings.left.append((self._line(node), f"{self.name}'s {method} {advice}"))

    def visit_Arg(self, node: cst.Arg) -> None:
        if self._is_it(node.value):
            self.findings.left.append((self._line(node), f"passes {self.name} on: pass the manager that is needed"))

    def visit_Return(self, node: cst.Return) -> None:
        if node.value is not None and self._is_it(node.value):
            self.findings.left.append((self._line(node), f"returns {self.name}: return the manager that is needed"))


class _Rewriter(cst.CSTTransformer):
    """Calls of the singleton become calls of managers."""

    def __init__(self, name: str, variables: set[str], keep: bool) -> None:
        super().__init__()
        self.name = name
        self.variables = variables
        self.keep = keep  # The singleton is still used, where something is left to do.

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:
        value = original_node.value
        is_variable = isinstance(value, cst.Name) and value.value in self.variables
        if not is_variable and not _is_singleton(value, self.name):
            return updated_node
        method = original_node.attr.value
        for manager, methods in (("embedder", EMBEDDING_METHODS), ("summarizer", SUMMARIZATION_METHODS)):
            if method in methods:
                return updated_node.with_changes(value=cst.Name(manager), attr=cst.Name(methods[method]))
        return updated_node

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.RemovalSentinel:
        if self.keep or len(original_node.body) != 1:
            return updated_node
        statement = original_node.body[0]
        if isinstance(statement, cst.Assign) and _is_singleton(statement.value, self.name):
            return cst.RemoveFromParent()
        return updated_node

    def leave_ImportFrom(
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom | cst.RemovalSentinel:
        if self.keep or isinstance(original_node.names, cst.ImportStar):
            return updated_node
        names = [alias for alias in original_node.names if alias.evaluated_name != self.name]
        if len(names) == len(original_node.names):
            return updated_node
        if not names:
            return cst.RemoveFromParent()
        names[-1] = names[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return updated_node.with_changes(names=names)


_CLASSES = {"embedder": "EmbeddingModelManager", "summarizer": "SummarizationModelManager"}


def _insert_managers(module: cst.Module, kinds: set[str]) -> cst.Module:
    """The import, and the managers of the module, after the module's last import at its top."""
    classes = ", ".join(_CLASSES[kind] for kind in sorted(kinds))
    lines = [f"from remuda import {classes}, get_settings\n"]
    position = 0
    for i, statement in enumerate(module.body):
        is_import = isinstance(statement, cst.SimpleStatementLine) and isinstance(
            statement.body[0], (cst.Import, cst.ImportFrom)
        )
        is_docstring = (
            i == 0
            and isinstance(statement, cst.SimpleStatementLine)
            and isinstance(statement.body[0], cst.Expr)
            and isinstance(statement.body[0].value, cst.SimpleString)
        )
        if is_import or is_docstring:
            position = i + 1
    managers = [f"{kind} = {_CLASSES[kind]}(get_settings())\n" for kind in sorted(kinds)]
    new = [cst.parse_statement(line) for line in lines + managers]
    new[1] = new[1].with_changes(leading_lines=[cst.EmptyLine(indent=False)])
    return module.with_changes(body=[*module.body[:position], *new, *module.body[position:]])


def migrate_source(source: str, name: str = "ModelManager") -> tuple[str, Findings]:
    """The source with its calls of the singleton rewritten, and what was found. Raises ``ValueError`` for no Python."""
    try:
        wrapper = MetadataWrapper(cst.parse_module(source))
    except cst.ParserSyntaxError as error:
        raise ValueError(f"line {error.raw_line}: not Python: {error.message}") from None
    first = _Collector(name)  # Variables may be assigned below where they are used.
    wrapper.visit(first)
    collector = _Collector(name)
    collector.variables = first.variables
    wrapper.visit(collector)
    findings = collector.findings
    if not findings.calls:
        return source, findings
    module = wrapper.module.visit(_Rewriter(name, collector.variables, keep=bool(findings.left)))
    return _insert_managers(module, findings.kinds).code, findings


def _files(paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    files: list[pathlib.Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(p for p in path.rglob("*.py") if not any(part.startswith(".") for part in p.parts[1:]))
        else:
            files.append(path)
    return files


def _migrate_file(path: pathlib.Path, name: str, write: bool) -> Findings:
    source = path.read_bytes().decode("utf-8")
    changed, findings = migrate_source(source, name)
    if changed != source:
        before, after = source.splitlines(keepends=True), changed.splitlines(keepends=True)
        sys.stdout.writelines(difflib.unified_diff(before, after, f"a/{path}", f"b/{path}"))
        if write:
            path.write_bytes(changed.encode("utf-8"))
    return findings


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see the module's documentation."""
    parser = argparse.ArgumentParser(
        prog="python -m remuda.migrate", description="From one global ModelManager to remuda's managers."
    )
    parser.add_argument("paths", nargs="+", type=pathlib.Path, metavar="PATH", help="Python files, or folders of them")
    parser.add_argument("--write", action="store_true", help="change the files, besides showing the diff")
    parser.add_argument("--class", dest="name", default="ModelManager", help="the singleton's class [%(default)s]")
    options = parser.parse_args(arguments)
    calls = left = 0
    for path in _files(options.paths):
        try:
            findings = _migrate_file(path, options.name, options.write)
        except (OSError, ValueError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            left += 1
            continue
        calls += findings.calls
        for line, text in sorted(findings.left):
            print(f"{path}:{line}: by hand: {text}", file=sys.stderr)
            left += 1
    done = "rewrote" if options.write else "would rewrite"
    print(f"{done} {calls} calls; {left} places are left to do by hand (MIGRATION_GUIDE.md)", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
