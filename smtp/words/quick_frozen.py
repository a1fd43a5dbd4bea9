"""Frozen dataclasses that are as quick to make as others.

The `__init__` of a frozen dataclass calls `object.__setattr__` for each field, which for many
fields costs more than all else. An object can be made as one of another class with the same slots,
not frozen, and then change its class.
"""

import copy
import dataclasses
import functools
from typing import Any, TypeVar

_Class = TypeVar("_Class", bound=type[Any])

_set = object.__setattr__


def quick_frozen(frozen: _Class) -> _Class:
    """Let a frozen dataclass with slots, without base class, be made more quickly.

    Its `__init__` makes the object one of a twin class for a moment. Whatever the class does
    besides, `__post_init__` included, finds it frozen as ever; and a subclass is made as before.

    Args:
        frozen: made by ``@dataclass(frozen=True, slots=True, kw_only=True)``.
    """
    plain: Any = dataclasses.make_dataclass(
        frozen.__name__,
        [(field.name, object, copy.copy(field)) for field in dataclasses.fields(frozen)],
        slots=True,
        kw_only=True,
        eq=False,
    )
    plain.__init__.__qualname__ = frozen.__init__.__qualname__  # for what a TypeError says
    store, usual, finish = plain.__init__, frozen.__init__, frozen.__post_init__

    @functools.wraps(usual)
    def make(self: Any, **values: Any) -> None:
        if type(self) is not frozen:
            usual(self, **values)
            return
        _set(self, "__class__", plain)
        try:
            store(self, **values)
        finally:
            self.__class__ = frozen
        finish(self)

    setattr(frozen, "__init__", make)  # noqa: B010 - mypy refuses to assign to it
    return frozen


def unfrozen(frozen: type[Any]) -> type[Any]:
    """Return a class of empty objects, with the slots of a frozen dataclass.

    Where one is made for each email: make it, set every slot, and last its `__class__`, to the
    frozen one. `__init__` and `__post_init__` don't run.

    Args:
        frozen: made by ``@dataclass(frozen=True, slots=True)``; it may have a base class like that.
    """
    slots = tuple([field.name for field in dataclasses.fields(frozen)])
    return type(frozen.__name__, (), {"__slots__": slots})
