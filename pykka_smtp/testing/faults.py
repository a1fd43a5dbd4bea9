"""Faults: what a server can do wrong at any stage, by name; for servers that do so at random."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from .moods import Moment
from .talk.acts import Act, Deed, Drip

Fault = Callable[[Moment], list[Act]]
"""Says what to do instead of what is right."""

_DOWN = b"421 4.3.2 going down\r\n"
_ONE_MORE = b"250 2.0.0 one more\r\n"


def _nonsense(moment: Moment) -> list[Act]:
    return [b"250 ok\r\n" if moment.stage == "DATA" else b"354 go on\r\n"]


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "close": lambda _moment: [Deed.CLOSE],
        "reset": lambda _moment: [Deed.RESET],
        "silence": lambda _moment: [Deed.SILENCE],
        "deaf": lambda _moment: [Deed.DEAF],
        "shutdown": lambda _moment: [_DOWN, Deed.CLOSE],
        "shutdown, silence": lambda _moment: [_DOWN, Deed.SILENCE],
        "transient": lambda _moment: [b"451 4.3.0 not now\r\n"],
        "permanent": lambda _moment: [b"550 5.7.1 never\r\n"],
        "octets": lambda _moment: [b"\x00\xff no reply at all\r\n"],
        "another protocol": lambda _moment: [b"HTTP/1.1 400 Bad\r\n"],
        "four digits": lambda _moment: [b"2500 ok\r\n"],
        "half": lambda _moment: [b"250-half of a reply\r\n250 an", Deed.CLOSE],
        "mixed": lambda _moment: [b"250-ok\r\n550 no\r\n"],
        "nonsense": _nonsense,
        "surplus": lambda moment: [_ONE_MORE, moment.reply],
        "twice": lambda moment: [moment.reply, moment.reply],
        "early": lambda moment: [moment.reply, _ONE_MORE],
        "reply, close": lambda moment: [moment.reply, Deed.CLOSE],
        "reply, reset": lambda moment: [moment.reply, Deed.RESET],
        "drip": lambda moment: [Drip(moment.reply)],
    }
)
"""All faults."""
