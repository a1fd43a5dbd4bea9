"""Plays a conversation to whoever stands in for the client."""

from typing import Protocol

from pykka_smtp.testing.talk.script import Action, Step

from .conversation import Conversation

CUTS = ("line by line", "octet by octet", "all at once")
"""How the server's octets arrive; it must not matter."""


class Player(Protocol):
    """The client's side, as a server would see it."""

    def hear(self, octets: bytes) -> None:
        """The server says this, in one piece."""
        ...

    def line(self) -> str:
        """Take the client's next line, without CRLF."""
        ...

    def start_tls(self) -> None:
        """Both sides start TLS."""
        ...

    def data(self) -> bytes:
        """Take the client's mail data, with the lone dot."""
        ...

    def has_left(self) -> bool:
        """Whether the client has closed, and has said nothing more before."""
        ...

    def close(self) -> None:
        """The server closes."""
        ...

    def reset(self) -> None:
        """The server closes hard."""
        ...

    def fall_silent(self) -> None:
        """The server says nothing more for as long as the client waits."""
        ...


def play(conversation: Conversation, player: Player, cut: str = "line by line") -> None:
    """Play the server's part, and compare what the client says with what it should say.

    Raises:
        AssertionError: the client said something else.
    """
    held = b""
    for step in conversation.steps:
        octets = step.octets
        if octets and cut == "all at once":
            held += octets
            continue
        if held:
            player.hear(held)
            held = b""
        if octets and cut == "octet by octet" and step.action is not Action.RAW:
            for octet in octets:
                player.hear(bytes([octet]))
        elif octets:
            player.hear(octets)
        else:
            _play(step, player, conversation)
    if held:
        player.hear(held)
    if not player.has_left():
        player.close()
    assert player.has_left(), "the client goes on where the script ends"


def _play(step: Step, player: Player, conversation: Conversation) -> None:
    match step.action:
        case Action.EXPECT:
            line = player.line()
            assert step.matches(line), f"the client said {line!r}, not as in {step}"
        case Action.TLS:
            player.start_tls()
        case Action.DATA:
            data = player.data()
            assert data == conversation.mail_data, f"not the mail at {step}"
        case Action.EOF:
            assert player.has_left(), f"the client has not left at {step}"
        case Action.CLOSE:
            player.close()
        case Action.RESET:
            player.reset()
        case Action.SILENCE:
            player.fall_silent()
        case _:
            raise AssertionError(f"cannot be played here: {step}")
