"""Call control with one decision changed, to see that a test notices: `python -m` this module.

A mutant is a module of call control with one place of its source changed: a command taken from a
row of `transitions.py` or put into one, another state where a connection gets one, a question after
a state turned round, a decision otherwise of who hears whom, who is recorded, what goes with a call
and what is told of it. The tests are collected once; then each mutant is put in place of what it
changes, in the process that lives, and they run until one fails. The table in
`docs/call-control.md` that repeats `transitions.py` is not asked: it would know any change of it,
and prove nothing.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import json
import os
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TextIO

import pytest

ROOT = Path(__file__).parents[4]
PACKAGE = "endpoint.callcontrol"
TRANSITIONS, ROUTES, RECORDED = "transitions", "routes", "recorded"
CALL_DATA, LEG_EVENTS, LENDING = "calldata", "legevents", "lending"
WHERE_STATES_ARE_GIVEN = (
    "machine",
    "moves",
    "turn",
    "consultation",
    LENDING,
    "pickup",
    "supervision",
    "transfer",
)
DECIDING = (ROUTES, RECORDED, CALL_DATA, LENDING)
"""Here every decision is changed, not those alone that look at states."""
UNIT, SCENARIOS = "tests/unit/endpoint/callcontrol", "tests/scenarios"
TESTS = (
    f"{UNIT}/test_transitions.py",
    "tests/unit/endpoint/gateways/native/test_encode.py",
    f"{UNIT}/test_routes.py",
    f"{UNIT}/test_machine.py",
    f"{SCENARIOS}/test_every_failure.py",
    f"{SCENARIOS}/test_consultation.py",
    f"{SCENARIOS}/test_supervision_of_calls.py",
    f"{SCENARIOS}/test_transfer.py",
    f"{SCENARIOS}/test_taking_a_place.py",
    f"{SCENARIOS}/test_pickup.py",
    f"{SCENARIOS}/test_outbound_queues.py",
    f"{SCENARIOS}/test_park.py",
    f"{SCENARIOS}/test_lending.py",
    f"{SCENARIOS}/test_ivr.py",
    f"{SCENARIOS}/test_dial_plan.py",
    f"{SCENARIOS}/test_records.py",
    f"{SCENARIOS}/test_call_data.py",
    f"{SCENARIOS}/test_queues.py",
    f"{SCENARIOS}/test_recording.py",
    f"{SCENARIOS}/test_calls.py",
    f"{SCENARIOS}/test_what_is_allowed.py",
    f"{UNIT}/test_random_walks.py",
)
"""Those that run: all but what needs sockets or another process."""
TESTS_OF_QUEUE = "tests/unit/endpoint/agents/test_queue.py"


def _members(name: str, enum: str) -> list[str]:
    """The members of an enum, by the source."""
    tree = ast.parse((ROOT / PACKAGE.replace(".", "/") / f"{name}.py").read_text(encoding="utf-8"))
    found = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == enum]
    (body,) = (each.body for each in found)
    return [
        each.targets[0].id
        for each in body
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name)
    ]


_OF_PAIRS = ("ALTERNATE_CALL", "RECONNECT_CALL", "CONFERENCE_CALL", "TRANSFER_CALL")
_OF_OTHERS = ("JOIN_CALL", "INTERCEPT_CALL", "DIRECTED_PICKUP_CALL")
_IN_BOTH = (
    *("CLEAR_CONNECTION", "CLEAR_CALL", "CONSULTATION_CALL", "SINGLE_STEP_CONFERENCE"),
    *("PARK_CALL", "ASSOCIATE_DATA", "SET_MICROPHONE_MUTE", "SINGLE_STEP_TRANSFER"),
    "START_RECORDING",
)
_OF_RECORDINGS = ("PAUSE_RECORDING", "RESUME_RECORDING", "STOP_RECORDING")
EQUIVALENT = {
    f"{TRANSITIONS}.: {row} with {command}": why
    for row, commands, why in (
        ("ENDS", _OF_OTHERS, "it is in none of the rows that this leaves something of"),
        ("OF_SUPERVISORS", _OF_OTHERS, "it is in none of the rows that this leaves something of"),
        ("ENDS", ("MAKE_CALL", "ANSWER_CALL", "DEFLECT_CALL"), "nobody rings where a call failed"),
        ("ENDS", _OF_RECORDINGS, "nothing is recorded in a call that failed"),
        ("OF_RECORDINGS", _OF_OTHERS, "it is in none of the rows that this takes from"),
        ("OF_CALLED", _OF_OTHERS, "it is in none of the rows that this takes from"),
        ("OF_SUPERVISORS", ("DEFLECT_CALL",), "who listens is in an answered call"),
        ("ConnectionState.QUEUED", ("DEFLECT_CALL",), "what is parked is in an answered call"),
        ("OF_LENDERS", _IN_BOTH, "it is in both rows that this is added to"),
        ("NEEDS_OTHER_CALL", _OF_OTHERS, "it is in none of the rows that this takes from"),
        ("ConnectionState.QUEUED", _OF_PAIRS, "what is parked somewhere is in no other call"),
        (
            "ConnectionState.FAIL",
            [each for each in _members("commands", "CommandName") if each not in _OF_OTHERS],
            "what failed has ended, and nothing that ended is asked",
        ),
    )
    for command in commands
} | {
    f"{ROUTES}._joining: `None if target is None else interaction.leg(target)` always "
    "`interaction.leg(target)`": "no leg has no name",
    f"{ROUTES}._rings: `leg is not None and leg.early_media` without `leg is not None`": (
        "what rings has a leg"
    ),
}
"""What changes nothing, and why."""
OF_TRANSITIONS = ("test_transitions.py", "test_encode.py", "test_what_is_allowed.py")

Change = Callable[[ast.AST], ast.AST | None]
"""A node as it becomes; None: it goes."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change in one module."""

    module: str
    name: str
    """Where and what, in words that do not move with the lines."""
    source: Callable[[], str]
    """Makes the whole module as it is then."""
    package: str = PACKAGE


SHARED = (ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)
"""Of each of these there is one node for all trees, which can have no place."""


# -- making them ----------------------------------------------------------------------------------


class _At(ast.NodeTransformer):
    """Changes one node, found by its place in the order of the walk."""

    def __init__(self, place: int, change: Change) -> None:
        self._place = place
        self._change = change

    def visit(self, node: ast.AST) -> ast.AST | None:
        if isinstance(node, SHARED):
            return node
        if getattr(node, "place", None) == self._place:
            return self._change(node)
        return self.generic_visit(node)


class Module:
    """A module's source, and what can be changed in it."""

    def __init__(self, name: str, package: str = PACKAGE) -> None:
        self.name = name
        self._package = package
        path = ROOT / package.replace(".", "/") / f"{name}.py"
        self._tree = ast.parse(path.read_text(encoding="utf-8"))
        self._inside: dict[int, str] = {}
        self._parents: dict[int, ast.AST] = {}
        self._number(self._tree, "")
        self._names: dict[str, int] = {}

    def _number(self, node: ast.AST, function: str) -> None:
        node.place = len(self._inside)  # type: ignore[attr-defined]
        self._inside[node.place] = function  # type: ignore[attr-defined]
        for child in ast.iter_child_nodes(node):
            if isinstance(child, SHARED):
                continue
            named = isinstance(child, ast.FunctionDef | ast.ClassDef)
            self._number(child, child.name if named else function)  # type: ignore[attr-defined]
            self._parents[child.place] = node  # type: ignore[attr-defined]

    def nodes(self) -> Iterator[tuple[ast.AST, ast.AST | None]]:
        """Every node with the one around it."""
        for node in ast.walk(self._tree):
            if isinstance(node, SHARED):
                continue
            yield node, self._parents.get(node.place)  # type: ignore[attr-defined]

    def mutant(self, node: ast.AST, what: str, change: Change) -> Mutant:
        """The module with that node changed."""
        place: int = node.place  # type: ignore[attr-defined]
        name = f"{self.name}.{self._inside[place]}: {what}"
        self._names[name] = self._names.get(name, 0) + 1
        if (number := self._names[name]) > 1:
            name += f" ({number})"

        def source() -> str:
            changed = _At(place, change).visit(copy.deepcopy(self._tree))
            assert changed is not None
            return ast.unparse(ast.fix_missing_locations(changed))

        return Mutant(self.name, name, source, self._package)


def mutants() -> list[Mutant]:
    """All of them."""
    return [
        *_of_transitions(),
        *_of_guards(TRANSITIONS),
        *(each for name in WHERE_STATES_ARE_GIVEN for each in _of_states(name)),
        *(
            each
            for name in WHERE_STATES_ARE_GIVEN
            if name not in DECIDING
            for each in _of_guards(name)
        ),
        *(each for name in DECIDING for each in _of_decisions(name)),
        *_of_cases(LEG_EVENTS),
    ]


def _of_transitions() -> Iterator[Mutant]:
    """Each row without each of its commands, and with each other one."""
    module, commands = Module(TRANSITIONS), _members("commands", "CommandName")
    for node, around in module.nodes():
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "frozenset"):
            continue
        if not node.args and not isinstance(around, ast.Dict):
            continue
        row = _row_of(node, around)
        elements = node.args[0].elts if node.args and isinstance(node.args[0], ast.Set) else []
        present = [ast.unparse(each).partition(".")[2] for each in elements]
        for command in present:
            rest = [each for each in present if each != command]
            yield module.mutant(node, f"{row} without {command}", _set_of(rest))
        for command in commands:
            if command not in present:
                yield module.mutant(node, f"{row} with {command}", _set_of([*present, command]))


def _row_of(node: ast.AST, around: ast.AST | None) -> str:
    if isinstance(around, ast.Dict):
        at = next(i for i, each in enumerate(around.values) if each is node)
        return ast.unparse(around.keys[at] or node)
    return ast.unparse(around.targets[0]) if isinstance(around, ast.Assign) else "a set"


def _set_of(commands: Sequence[str]) -> Change:
    text = ", ".join(f"CommandName.{each}" for each in commands)
    return lambda _: _expression(f"frozenset({{{text}}})" if commands else "frozenset()")


def _of_states(name: str) -> Iterator[Mutant]:
    """Each state that a connection gets, as the one before and the one behind it in the list."""
    module, states = Module(name), _members("model", "ConnectionState")
    for node, around in module.nodes():
        if not (isinstance(node, ast.Attribute) and ast.unparse(node.value) == "ConnectionState"):
            continue
        if isinstance(around, ast.Compare | ast.Tuple):
            continue  # asked, not given
        at = states.index(node.attr)
        for state in (states[at - 1], states[(at + 1) % len(states)]):
            what = f"{node.attr} becomes {state}"
            yield module.mutant(node, what, _replaced(f"ConnectionState.{state}"))


OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Gt: ast.LtE,
    ast.Lt: ast.GtE,
}


def _of_guards(name: str) -> Iterator[Mutant]:
    """Each question after a connection's state turned round, and each state of it left out."""
    module = Module(name)
    for node, around in module.nodes():
        text = " ".join(ast.unparse(node).split())[:70] if hasattr(node, "lineno") else ""
        match node:
            case ast.Compare(ops=[op]) if "ConnectionState." in text and type(op) in OPPOSITES:
                yield module.mutant(node, f"`{text}` turned round", _turned_round)
            case ast.Tuple(elts=[*elements]) if "ConnectionState." in text:
                if isinstance(around, ast.Compare | ast.Assign):
                    for at, each in enumerate(elements):
                        what = f"`{text}` without {ast.unparse(each)}"
                        yield module.mutant(node, what, _without_element(at))
            case _:
                pass


def _of_cases(name: str) -> Iterator[Mutant]:
    """Each condition of a case as if it always held, and never."""
    module = Module(name)
    for node, _ in module.nodes():
        if isinstance(node, ast.match_case) and node.guard is not None:
            text = ast.unparse(node.guard)
            for held in ("True", "False"):
                yield module.mutant(node.guard, f"`case … if {text}` is {held}", _replaced(held))


def of_queue() -> list[Mutant]:
    """Of the rules by which calls are offered to agents."""
    return list(_of_decisions("queue", "endpoint.agents"))


def _of_decisions(name: str, package: str = PACKAGE) -> Iterator[Mutant]:
    """Each decision turned round, each condition left out, each step, route and sound another."""
    module = Module(name, package)
    for node, around in module.nodes():
        text = " ".join(ast.unparse(node).split())[:70] if hasattr(node, "lineno") else ""
        match node:
            case ast.Compare(ops=[op]) if type(op) in OPPOSITES:
                yield module.mutant(node, f"`{text}` turned round", _turned_round)
            case ast.BoolOp(op=op, values=values):
                other = "or" if isinstance(op, ast.And) else "and"
                yield module.mutant(node, f"`{text}` by {other}", _other_operator)
                for at, each in enumerate(values):
                    what = f"`{text}` without `{ast.unparse(each)}`"
                    yield module.mutant(node, what, _without_operand(at))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield module.mutant(node, f"`{text}` turned round", _replaced(ast.unparse(operand)))
            case ast.Call(func=ast.Name(id="any" | "all" as word)):
                other = "all" if word == "any" else "any"
                yield module.mutant(node.func, f"`{text}` by {other}", _replaced(other))
            case ast.Attribute(value=ast.Name(id="Source"), attr=sound):
                other = "BUSY" if sound != "BUSY" else "RING_BACK"
                yield module.mutant(node, f"{sound} becomes {other}", _replaced(f"Source.{other}"))
            case ast.comprehension(ifs=[*conditions]):
                for at, each in enumerate(conditions):
                    what = f"without the condition `{ast.unparse(each)}`"
                    yield module.mutant(node, what, _without_condition(at))
            case ast.Expr(value=ast.Yield() | ast.Call()):
                yield module.mutant(node, f"without `{text}`", lambda _: ast.Pass())
            case ast.Return(value=None):
                yield module.mutant(node, "goes on instead of returning", lambda _: ast.Pass())
            case ast.Tuple(elts=[*elements]) if isinstance(around, ast.Compare):
                for at, each in enumerate(elements):
                    what = f"`{text}` without {ast.unparse(each)}"
                    yield module.mutant(node, what, _without_element(at))
            case ast.IfExp(body=body, orelse=orelse):
                for each in (body, orelse):
                    what = f"`{text}` always `{ast.unparse(each)}`"
                    yield module.mutant(node, what, _replaced(ast.unparse(each)))
            case _:
                pass


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _replaced(text: str) -> Change:
    return lambda _: _expression(text)


def _turned_round(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.Compare)
    return ast.Compare(node.left, [OPPOSITES[type(node.ops[0])]()], node.comparators)


def _other_operator(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.BoolOp)
    return ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)


def _without_operand(at: int) -> Change:
    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.BoolOp)
        left = [each for i, each in enumerate(node.values) if i != at]
        return left[0] if len(left) == 1 else ast.BoolOp(node.op, left)

    return change


def _without_condition(at: int) -> Change:
    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.comprehension)
        left = [each for i, each in enumerate(node.ifs) if i != at]
        return ast.comprehension(node.target, node.iter, left, node.is_async)

    return change


def _without_element(at: int) -> Change:
    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.Tuple)
        return ast.Tuple([each for i, each in enumerate(node.elts) if i != at], node.ctx)

    return change


# -- trying them ----------------------------------------------------------------------------------


@contextmanager
def in_place(mutant: Mutant) -> Iterator[None]:
    """The module as the mutant has it: every function and table of it, wherever it is known."""
    module = importlib.import_module(f"{mutant.package}.{mutant.module}")
    changed = ModuleType(module.__name__)
    exec(compile(mutant.source(), f"<{mutant.name}>", "exec"), changed.__dict__)
    undo: list[Callable[[], None]] = []
    for name, old in list(vars(module).items()):
        new = vars(changed).get(name)
        if getattr(old, "__module__", None) == module.__name__ and isinstance(old, type):
            pairs = [(vars(old).get(each), vars(new).get(each)) for each in vars(old)]
        else:
            pairs = [(old, new)]
        for was, becomes in pairs:
            is_own = getattr(was, "__module__", "") == module.__name__
            if is_own and isinstance(was, FunctionType) and isinstance(becomes, FunctionType):
                undo.append(partial(setattr, was, "__code__", was.__code__))
                was.__code__ = becomes.__code__
        if isinstance(old, dict) and name.isupper():
            undo.append(partial(old.update, dict(old)))
            old.update(new or {})
        elif isinstance(old, frozenset | tuple) and new != old:
            for other in list(sys.modules.values()):
                if getattr(other, name, None) is old:
                    undo.append(partial(setattr, other, name, old))
                    setattr(other, name, new)
    try:
        yield
    finally:
        for each in reversed(undo):
            each()


class Trial:
    """A plugin that runs what was collected once for each mutant, instead of once."""

    def __init__(self, tried: Sequence[Mutant], output: TextIO) -> None:
        self._tried = tried
        self._output = output
        self._failed = False
        self._ran: set[str] = set()
        self._favourites: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = self._failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """The first test that fails with each, as JSON. What fails by itself catches nothing."""
        items = [each for each in session.items if isinstance(each, pytest.Function)]
        by = set()
        for mutant in self._tried:
            with in_place(mutant):
                caught = next(
                    (each for each in self._order(mutant, items) if self._fails(each)), None
                )
            if caught is not None:
                by.add(caught)
                test = caught.nodeid.partition("[")[0]
                self._favourites = [test, *(each for each in self._favourites if each != test)]
            test = "" if caught is None else caught.nodeid
            self._output.write(json.dumps({"mutant": mutant.name, "caught_by": test}) + "\n")
            self._output.flush()
        for each in sorted(by, key=lambda item: item.nodeid):
            if self._fails(each):
                raise pytest.UsageError(f"{each.nodeid} fails by itself")
        session.testsfailed = 0  # as they had to
        return True

    def _order(self, mutant: Mutant, items: list[pytest.Function]) -> list[pytest.Function]:
        """Those first that are likely to fail: of a test that just did; walks at the end.

        What may be done is asked by three files; where it is about a command, by its cases.
        """
        found = re.search(r"(?:with|without) ([A-Z_]+)$", mutant.name)
        if mutant.module == TRANSITIONS:
            items = [each for each in items if each.path.name in OF_TRANSITIONS]
            if found is not None:
                other = f"-{found[1].title().replace('_', '')}]"
                items = [each for each in items if "-" not in each.nodeid or other in each.nodeid]

        def likely(item: pytest.Function) -> tuple[bool, int]:
            test = item.nodeid.partition("[")[0]
            recent = self._favourites.index(test) if test in self._favourites[:8] else 8
            return "walk" in item.nodeid, recent

        return sorted(items, key=likely)

    def _fails(self, item: pytest.Function) -> bool:
        if item.nodeid in self._ran:
            item._initrequest()  # as for the first time
        self._ran.add(item.nodeid)
        self._failed = False
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        except pytest.fail.Exception:  # its time was over between the test and the report of it
            return True
        return self._failed


def main() -> None:
    """Try all, or so many, and print what became of each as JSON, a line each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--only", type=int, help="so many of them")
    parser.add_argument("--seed", type=int, default=0, help="which those are")
    parser.add_argument("--grep", default="", help="those in whose name this is found")
    parser.add_argument("--queue", action="store_true", help="those of the queue alone")
    parser.add_argument("--no-walks", action="store_true", help="without the slow random walks")
    chosen = parser.parse_args()
    every = of_queue() if chosen.queue else mutants()
    found = [each for each in every if re.search(chosen.grep, each.name)]
    assert found, "no mutant has such a name"
    if chosen.only is not None:
        found = random.Random(chosen.seed).sample(found, chosen.only)
    os.chdir(ROOT)
    tests = [each for each in TESTS if not (chosen.no_walks and "walks" in each)]
    tests = [TESTS_OF_QUEUE] if chosen.queue else tests
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:logging", "--timeout=60"]
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # pytest's own, of every run
        status = pytest.main([*options, "-m", "not soak", *tests], [Trial(found, output)])
    sys.exit(status)


if __name__ == "__main__":
    main()
