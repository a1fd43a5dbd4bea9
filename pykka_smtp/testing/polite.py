"""The talk of a server that does everything right, except for its moods."""

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from .moods import Client, Moment, Mood, Replies, said
from .talk.acts import DATA, LAST, Act, Chunk, Commands, Deed, Drip, Talk

COMMANDS_MAX = 10_000_000
"""Commands of one connection."""

_OK = b"250 2.0.0 Ok\r\n"
_KNOWN = b"250 2.1.5 Ok\r\n"
_TAKEN = b"250 2.0.0 taken\r\n"
_GO_AHEAD = b"354 go ahead\r\n"
_NOBODY = b"503 5.5.1 no valid recipient\r\n"
_TLS = b"220 2.0.0 go ahead\r\n"
_BYE = b"221 2.0.0 Bye\r\n"
_UNKNOWN = b"502 5.5.1 not known here\r\n"
_PATH = re.compile(rb"<(.*)>")
_BDAT = re.compile(rb"BDAT ([0-9]{1,12})( LAST)?", re.IGNORECASE)


class Stage(Client, Protocol):
    """Performs talks."""

    def run(self, talk: Talk) -> None:
        """Perform a talk to its end."""
        ...


class Polite:
    """Makes the talk of each session, for SMTP and for LMTP.

    Args:
        offers: the lines of the EHLO reply, such as ``"PIPELINING"`` and ``"SIZE 1000"``. With
            ``"STARTTLS"``, it supports TLS, and does not offer it again under TLS.
        moods: what it does differently; the first that applies decides.
        name: the server's name in its replies.
        implicit_tls: begin TLS before the greeting.
        inside: the lines of the EHLO reply under TLS, or None for the same ones.
    """

    def __init__(
        self,
        *offers: str,
        moods: Iterable[Mood] = (),
        name: str = "mx.test",
        implicit_tls: bool = False,
        inside: Sequence[str] | None = None,
    ) -> None:
        self._moods = tuple(moods)
        self._at: dict[str, tuple[Mood, ...]] = {}
        self._greeting = said(f"220 {name} ESMTP")
        self._offers = offers
        self._in_clear = reply(250, name, *offers)
        # RFC 3207 §4.2: it is not offered again.
        under_tls = [line for line in offers if line != "STARTTLS"] if inside is None else inside
        self._under_tls = reply(250, name, *under_tls)
        self._implicit_tls = implicit_tls

    def __call__(self, stage: Stage) -> None:
        """Talk to one client."""
        stage.run(self.talk(stage))

    def talk(self, client: Client) -> Talk:
        """Return the steps of one session."""
        if self._implicit_tls and not (yield Deed.TLS):
            return
        yield from self._answer("greeting", self._greeting, client)
        taken: list[str] = []
        chunks = bytearray()
        is_lmtp = False
        at_data, minds_body, at_dot = map(self._moods_at, ("DATA", "body", "."))
        commands = Commands(self._plain_replies())
        for _ in range(COMMANDS_MAX):
            line: bytes = yield commands
            if commands.last:
                taken = [""] if commands.last == b"RCPT" else []
                chunks.clear()
                commands.last = b""
            verb = line if line == b"DATA" else line.partition(b" ")[0].upper()
            match verb:
                case b"DATA":
                    heard: bytes = _GO_AHEAD if taken else _NOBODY
                    if at_data:
                        heard = yield from self._answer("DATA", heard, client, line)
                    else:
                        yield heard
                    if heard is _GO_AHEAD or heard[:3] == b"354":
                        heard = b""
                        if minds_body:
                            heard = yield from self._answer("body", b"", client)
                        data: bytes = yield DATA
                        if heard:
                            pass  # that was the reply to the mail
                        elif is_lmtp:
                            yield from self._take(client, taken, data)
                        else:
                            moment = Moment(".", _TAKEN, client, b"", "", data) if at_dot else None
                            acts = None if moment is None else self._minded(moment)
                            if acts is None:
                                yield _TAKEN
                            else:
                                yield from _performed(acts)
                        taken.clear()
                case b"RCPT":
                    path = path_of(line)
                    heard = yield from self._answer("RCPT", _KNOWN, client, line, path)
                    taken += [path] if heard[:1] == b"2" else []
                case b"BDAT":
                    whom = taken if is_lmtp or not taken else [""]
                    if (yield from self._chunk(line, client, whom, chunks)):
                        taken.clear()
                        chunks.clear()
                case b"EHLO" | b"LHLO":
                    is_lmtp = verb == b"LHLO"
                    commands.replies = {} if is_lmtp else self._plain_replies()
                    taken.clear()
                    offers = self._in_clear if client.tls is None else self._under_tls
                    yield from self._answer(verb.decode(), offers, client, line)
                case b"STARTTLS" if "STARTTLS" in self._offers and client.tls is None:
                    heard = yield from self._answer("STARTTLS", _TLS, client, line)
                    if heard[:3] == b"220":
                        yield from self._begin_tls(client)
                        taken.clear()
                case b"MAIL" | b"RSET":
                    taken.clear()
                    chunks.clear()
                    yield from self._answer(verb.decode(), _OK, client, line, path_of(line))
                case b"HELO" | b"NOOP":
                    yield from self._answer(verb.decode(), _OK, client, line)
                case b"QUIT":
                    yield from self._answer("QUIT", _BYE, client, line)
                    return
                case _:
                    name = verb.decode("utf-8", "surrogateescape")
                    yield from self._answer(name, _UNKNOWN, client, line)

    def _plain_replies(self) -> dict[bytes, bytes]:
        """Return the positive replies to simple commands to which no mood applies."""
        replies = {b"MAIL": _OK, b"RCPT": _KNOWN, b"RSET": _OK}
        return {verb: said for verb, said in replies.items() if not self._moods_at(verb.decode())}

    def _moods_at(self, stage: str) -> tuple[Mood, ...]:
        """Return the moods that may apply to a stage: those for it, and those for all stages."""
        if stage not in self._at:
            if len(self._at) > 100:  # bounded, because clients may send any verb
                self._at.clear()
            self._at[stage] = tuple(
                mood for mood in self._moods if stage in getattr(mood, "stages", (stage,))
            )
        return self._at[stage]

    def _minded(self, moment: Moment) -> Iterable[Act] | Talk | None:
        """Return what the first applicable mood does at this moment, or None."""
        for mood in self._moods_at(moment.stage):
            acts = mood(moment)
            if acts is not None:
                return acts
        return None

    def _answer(
        self,
        stage: str,
        right: bytes,
        client: Client,
        line: bytes = b"",
        path: str = "",
        data: bytes = b"",
    ) -> Generator[Act, Any, bytes]:
        """Send the right reply, or do what a mood says; return the bytes sent."""
        if self._moods_at(stage):
            acts = self._minded(
                Moment(stage=stage, reply=right, client=client, line=line, path=path, data=data)
            )
            if acts is not None:
                return (yield from _performed(acts))
        if right:
            yield right
        return right

    def _take(self, client: Client, whom: Sequence[str], data: bytes) -> Generator[Act, Any, None]:
        """Send the final reply, with LMTP one for each recipient (RFC 2033 §4.2)."""
        for path in whom:
            yield from self._answer(".", _TAKEN, client, path=path, data=data)

    def _chunk(
        self, line: bytes, client: Client, whom: list[str], chunks: bytearray
    ) -> Generator[Act, Any, bool]:
        """Read a chunk, and reply to it; return whether it was the last of the email."""
        match = _BDAT.fullmatch(line)
        if match is None:
            yield said("501 5.5.4 BDAT what?")
            return False
        heard = yield from self._answer("body", b"", client)
        chunks += yield Chunk(int(match[1]), bool(match[2]))
        if heard:
            return bool(match[2])
        right = _OK if whom else _NOBODY
        moment = Moment(
            stage="BDAT", reply=right, client=client, line=line, path="", data=bytes(chunks)
        )
        acts = self._minded(moment) if self._moods_at("BDAT") else None
        if acts is not None:
            yield from _performed(acts)
        elif match[2] and whom:
            yield from self._take(client, whom, moment.data)
        else:
            yield right
        return bool(match[2])

    def _begin_tls(self, client: Client) -> Generator[Act, Any, None]:
        heard = yield from self._answer("TLS", b"", client)
        if not heard:
            yield Deed.TLS


def polite(
    *extensions: str,
    replies: Mapping[str, str] | None = None,
    name: str = "mx.test",
    implicit_tls: bool = False,
) -> Polite:
    """Return a server that does everything right, except for some replies.

    Args:
        extensions: the lines of the EHLO reply; see `Polite`.
        replies: the other replies; see `moods.Replies`.
        name: the server's name in its replies.
        implicit_tls: begin TLS before the greeting.
    """
    moods = [Replies(replies)] if replies else []
    return Polite(*extensions, moods=moods, name=name, implicit_tls=implicit_tls)


def reply(code: int, *texts: str) -> bytes:
    """Return a reply of one or more lines (RFC 5321 §4.2.1)."""
    *first, last = texts
    return b"".join([*(said(f"{code}-{text}") for text in first), said(f"{code} {last}")])


def path_of(line: bytes) -> str:
    """Return the mailbox in a MAIL or RCPT command."""
    match = _PATH.search(line)
    return match[1].decode("utf-8", "surrogateescape") if match else ""


def _performed(acts: Iterable[Act] | Talk) -> Generator[Act, Any, bytes]:
    """Perform what a mood returned; return the bytes sent."""
    talk: Talk = cast("Talk", acts) if isinstance(acts, Generator) else (act for act in acts)
    heard = b""
    result: Any = None
    while True:
        try:
            act = talk.send(result)
        except StopIteration:
            return heard
        if isinstance(act, bytes):
            heard += act
        elif isinstance(act, Drip):
            heard += act.octets
        result = yield act
        if act in LAST:
            return heard
