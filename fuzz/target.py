"""What a target is, and which there are."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NAMES = ("reply_parser", "dialog", "tls", "output", "grammar", "parts")
"""The targets: a module for each, with its invariant as its first comment."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something to be fuzzed.

    Attributes:
        name: its module's name.
        run: takes an input, raises if a rule is broken, and returns what it came to, in a word.
        seeds: inputs to begin with.
    """

    name: str
    run: Callable[[bytes], str]
    seeds: Sequence[bytes]


def load(name: str) -> Target:
    """Import a target. Late: a driver may want to instrument what it imports."""
    module = importlib.import_module(f"{__package__}.{name}")
    return Target(name, module.run, module.SEEDS)
