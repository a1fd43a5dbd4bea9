"""Values without the methods of a subclass: what was checked is what is used.

A subclass of str or int may return one value when it is checked and another when it is written.
"""

from .shown import shown


def plain_str(name: str, value: object) -> str:
    """Return a str without the methods of a subclass: what was checked is what is used.

    Args:
        name: what the error calls the value.
        value: anything.

    Raises:
        TypeError: it is not a str, or is not hashable.
    """
    if type(value) is str:
        return value
    if not isinstance(value, str):
        raise TypeError(f"{name}: needs a str, not {type(value).__name__}")
    if type(value).__hash__ is None:
        raise TypeError(f"{name}: needs a plain str, not {type(value).__name__}")
    return str.__str__(value)


def plain_bool(name: str, value: object) -> bool:
    """Return a bool; any other value is invalid, because the str "false" would count as true.

    Args:
        name: what the error calls the value.
        value: anything.

    Raises:
        TypeError: it is not a bool.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name}: needs True or False, not {type(value).__name__}")
    return value


def plain_int(name: str, value: object, least: int, most: int) -> int:
    """Return an int in a range, without the methods of a subclass.

    Args:
        name: what the error calls the value.
        value: anything.
        least: the smallest valid value.
        most: the largest valid value.

    Raises:
        TypeError: it is not an int; True and False are invalid, too.
        ValueError: it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: needs an int, not {type(value).__name__}")
    number = int.__int__(value)
    if not least <= number <= most:
        raise ValueError(f"{name}: needs {least} to {most}, not {shown(number)}")
    return number
