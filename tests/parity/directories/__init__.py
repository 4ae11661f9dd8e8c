"""Small model directories as the reference libraries write them, or wrote them, for directory_parity.py.

A file of cases a subject. A case is a function that writes a directory; its decorator says what remuda is asked to do
with it. Cases must not depend on the order in which they are made, nor on the time.
"""
import dataclasses
import pathlib
import re
from collections.abc import Callable

TASKS = ("tokenize", "embed", "summarize")


@dataclasses.dataclass(frozen=True)
class Case:
    name: str  # "subject/what is tried": unique, and what --only matches.
    task: str  # One of TASKS.
    make: Callable[[pathlib.Path], None]  # Writes the directory, which is there and empty.
    texts: tuple[str, ...] | None = None  # Instead of the task's own.
    options: dict = dataclasses.field(default_factory=dict)  # For `summarize`: arguments of `generate`, and flags.
    flags: tuple[str, ...] = ()  # More arguments of remuda's command, without a counterpart in the reference.
    refused: str | None = None  # A regular expression: remuda must exit with 2 or 1 and say this on stderr.
    short: bool = True  # Whether the short run has it; large or slow ones say False.


CASES: dict[str, Case] = {}


def add(case: Case):
    if case.task not in TASKS:
        raise ValueError(f"{case.name}: expected one of {TASKS}, found {case.task!r}")
    if case.name in CASES:
        raise ValueError(f"{case.name}: there are two cases of this name")
    if case.refused is not None:
        re.compile(case.refused)
    CASES[case.name] = case


def case(task: str, name: str, **fields):
    """Decorates a function(directory) that writes a model directory."""

    def register(make):
        add(Case(name=name, task=task, make=make, **fields))
        return make

    return register
