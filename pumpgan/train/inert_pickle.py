"""Reading a pickle as data: what it asks Python to import or call is looked up in a short table, never in Python.

A pickle is a program for a small machine. Python's own machine imports what the program names and calls it, so that
opening a stranger's file means running it. This one knows the few instructions that plain values need. It makes None,
numbers, texts, bytes, tuples, lists, dicts and sets; a name that the file imports must be in the caller's table, and
the function that stands there is what a call calls. There are no classes and no attributes.
"""

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

MOST_INSTRUCTIONS = 2_000_000  # a network's pickle has some tens of thousands

VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8")
WITH_VALUE = frozenset(NUMBERS + TEXTS)
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class Name:
    """What a pickle imports, and what the table has for it: a function, or a value that stands for itself."""

    name: str
    meaning: Any


@dataclass
class Adjustable:
    """A result of a function that may be given a state afterwards, which `state` then holds."""

    state: Any = None


def read_pickle(content: IO[bytes], names: Mapping[str, Any], persistent: Callable[[Any], Any] | None = None) -> Any:
    """The value of the pickle that starts where `content` stands; leaves it behind the pickle.

    names: what may be imported, as "module.name".
    persistent: makes a value of what the file refers to as stored elsewhere; None: it may not.
    Raises ValueError where the pickle is cut short or damaged, or needs anything else than the above.
    """
    try:
        return Machine(names, persistent).run(content)
    except (LookupError, TypeError, OverflowError, MemoryError) as error:  # a program that makes no sense
        raise ValueError(f"is damaged ({type(error).__name__}: {error})") from error


class Machine:
    def __init__(self, names: Mapping[str, Any], persistent: Callable[[Any], Any] | None):
        self.names, self.persistent = names, persistent
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks that were begun before, a mark each
        self.memo: dict[int, Any] = {}

    def run(self, content: IO[bytes]) -> Any:
        for count, (name, argument) in enumerate(instructions(content)):
            if count >= MOST_INSTRUCTIONS:
                raise ValueError(f"has more than {MOST_INSTRUCTIONS} instructions, which no network needs")
            if name != "STOP":
                self.step(name, argument)
        return self.stack.pop()

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in WITH_VALUE:
            stack.append(argument)
        elif name in VALUES:
            stack.append(VALUES[name])
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name in TUPLES:
            stack[-TUPLES[name] :] = [tuple(self.items(TUPLES[name]))]
        elif name == "MARK":
            self.outer.append(stack)
            self.stack = []
        elif name in ("TUPLE", "APPENDS", "SETITEMS", "ADDITEMS"):
            self.stack = self.outer.pop()
            self.gather(name, stack)
        elif name == "APPEND":
            self.gather("APPENDS", [stack.pop()])
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self.gather("SETITEMS", [key, value])
        elif name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            stack.append(self.imported(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(self.imported(module, attribute))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            stack.append(called(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], Adjustable):
                raise ValueError(f"sets the state of a {type(stack[-1]).__name__}, which a network does not do")
            stack[-1].state = state
        elif name == "BINPERSID" and self.persistent is not None:
            stack.append(self.persistent(stack.pop()))
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(
                f"holds the instruction {name}, which no network needs; nothing was run; do not trust this file"
            )

    def items(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("nothing to take")
        return self.stack[-count:]

    def gather(self, name: str, items: list[Any]) -> None:
        """Does with the items behind a mark what the instruction says."""
        if name == "TUPLE":
            self.stack.append(tuple(items))
            return
        target = self.stack[-1]
        if name == "APPENDS" and isinstance(target, list):
            target.extend(items)
        elif name == "ADDITEMS" and isinstance(target, set):
            target.update(map(key_of, items))
        elif name == "SETITEMS" and isinstance(target, dict) and len(items) % 2 == 0:
            target.update(zip(map(key_of, items[::2]), items[1::2], strict=True))
        else:
            raise ValueError(f"puts items into a {type(target).__name__} by {name}")

    def imported(self, module: Any, attribute: Any) -> Name:
        name = f"{module}.{attribute}"
        if name not in self.names:
            raise ValueError(
                f"imports {name[:200]}, which a network does not need; nothing was run; do not trust this file"
            )
        return Name(name, self.names[name])


def instructions(content: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """The names and arguments of a pickle's instructions, up to and with STOP."""
    try:
        for instruction, argument, _ in pickletools.genops(content):
            yield instruction.name, argument
    except ValueError as error:
        raise ValueError(f"is cut short or damaged ({error})") from error


def called(function: Any, arguments: Any) -> Any:
    if not isinstance(function, Name) or not callable(function.meaning) or not isinstance(arguments, tuple):
        raise ValueError(f"calls a {type(function).__name__} with a {type(arguments).__name__}, which is no call")
    try:
        return function.meaning(*arguments)
    except TypeError as error:
        raise ValueError(f"calls {function.name} with other arguments than it takes ({error})") from error


def key_of(value: Any) -> str | int:
    """A key of a dict or an item of a set: hashing deeper values could exhaust the machine's own stack."""
    if not isinstance(value, (str, int)):
        raise ValueError(f"has a {type(value).__name__} as a key, only texts and numbers are read")
    return value
