"""The target below the dialog: the connection itself, under TLS and in clear, on a slow network."""

# Invariant: whatever the server says or does, under TLS or in clear, however its records are cut,
# and however few octets the system takes at a time, the connection ends within its time, after
# exactly one verdict on each mail, and that is the truth: accepted only if a complete 2yz reply,
# and nothing else, began after the last octet of the mail had left the transport; maybe_accepted if
# and only if it had left and no complete verdict came; the same for each recipient. Half a record,
# or what lies unread in the socket, may be the beginning of a reply. Of a mail that was called not
# sent, nothing goes out any more that could complete it.

import errno
import functools
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, cast

from .choices import Choices
from .network import Loop
from .tls_scene import choose_scene
from .tls_server import Hesitant, contexts
from .tls_session import MOST_STEPS, Arrival, TlsSession, in_place_of_the_real
from .violation import Hang, UndefinedOutcome, insist

_MOST_MOVES = 40
_YES, _NO = b"250 2.0.0 ok\r\n", b"554 5.7.1 no\r\n"


def run(data: bytes) -> str:
    """Play one session.

    Returns:
        What became of its last mail, in a word or two.
    """
    choices = Choices(data)
    scene = choose_scene(choices)
    loop = Loop(is_selector=scene.is_selector)
    with in_place_of_the_real(loop), closing(Play(scene, choices, loop)) as play:
        play.run()
    return play.ending


class Play(TlsSession):
    """One session, from the connection to the end."""

    def run(self) -> None:
        """Play it; all that must hold is checked on the way."""
        choices = self._choices
        self._begin_mail()
        self._connection.connection_made(cast("Any", self._transport))
        self._loop.turn()
        self._look()
        reached = choices.pick(_PLACES)
        for _ in range(MOST_STEPS):
            if self._is_closed or reached(self):
                break
            self._step()
        self._may_cut = True
        for _ in range(_MOST_MOVES):
            if choices.is_used_up or self._is_closed:
                break
            move = choices.pick(_REST_MOVES if self._is_released else _MOVES)
            self._after(functools.partial(move, self))
        self._may_cut = False
        for number in range(MOST_STEPS):
            if self._is_closed:
                break
            self._step()
            if number > MOST_STEPS // 2:
                self._after(self._tick)  # a server that goes on for ever
        insist(self._is_closed, "it does not end", Hang)
        insist(self._verdict is not None, "no verdict", UndefinedOutcome)

    # Moves.

    def _step(self) -> None:
        """Do what should come next."""
        self._after(self._right)

    def _right(self) -> None:
        if self._line.is_reset:
            self._reset()
        elif self._line.waiting or (self._has_ended and not self._transport.is_closing()):
            self._read()
        elif self._transport.get_write_buffer_size():
            self._drain()
        elif Hesitant.waits:
            self._go_on_with_tls()
        elif self._flights:
            self._put_flight()
        elif self._is_released:
            self._go_on()
        elif self._ledger.has_quit and not self._ledger.owed:
            self._take_leave()
        elif self._ledger.owed and (self._tls is None or self._tls.is_up):
            self._say(self._server.right())
        else:
            self._tick()

    def _ask(self) -> None:
        """Ask for the client's certificate, amid whatever is under way; tickets follow."""
        tls = self._tls
        if tls is not None and tls.may_write and contexts(self._scene.kind).asks:
            self._flush_flights()
            self._put_records((tls.ask(), b""))

    def _hesitate(self) -> None:
        """Have the client's TLS wait for the server, with whatever is to be written."""
        if self._tls is not None and self._tls.is_up and contexts(self._scene.kind).asks:
            Hesitant.waits = True

    def _go_on_with_tls(self) -> None:
        Hesitant.waits = False
        self._ask()

    def _other(self) -> None:
        self._say_in_order(self._server.other(self._choices))

    def _right_and_more(self) -> None:
        more = self._server.other(self._choices)
        self._say_in_order(self._server.right() + more)

    def _two(self) -> None:
        """Say that the mail may come, and more; the client reads the one, and a part of the other.

        So the end of the mail may be due with an early reply in the socket, or half of it here.
        """
        if self._is_amid_commands():
            return
        first = self._sealed(self._server.right()) if self._is_data_owed else None
        if first is None:
            return
        second = self._sealed(_YES if self._choices.one_in(2) else _NO)
        assert second is not None
        self._arrived.extend((first[1], second[1]))
        self._line.put(first[0] + second[0])
        self._read(len(first[0]) + self._choices.pick((0, 1, 4, 12, 30, 0)))
        self._look()
        if self._choices.one_in(2):
            self._drain_all()

    def _foretell(self) -> None:
        """Say what is right, and in advance yes to all that may follow; the client reads the one.

        So a transaction that will go by BDAT may be due with its replies in the socket, or half of
        one here.
        """
        if self._is_amid_commands() or not self._is_held_next:
            return
        self._flush_flights()
        texts = (self._server.right(), *[_YES] * (1 + self._choices.below(6)))
        sealed = [one for text in texts if (one := self._sealed(text)) is not None]
        if not sealed:
            return
        self._arrived.extend(arrival for _, arrival in sealed)
        octets = b"".join(octets for octets, _ in sealed)
        cut = len(sealed[0][0]) + self._choices.pick((0, 1, 4, 12, 30, 0))
        if self._choices.one_in(2):
            self._line.put(octets[:cut])
            self._read_all()
            self._drain_all()
            octets = octets[cut:]
        self._line.put(octets)
        self._read(cut)
        self._look()
        self._read_all()

    def _half_then_out(self) -> None:
        """Let half of a reply come, then all leave that is written, then the rest come."""
        if self._is_amid_commands():
            return
        sealed = self._sealed(self._server.right() or _YES)
        if sealed is None:
            return
        octets, arrival = sealed
        cut = 1 + self._choices.below(max(1, min(256, len(octets) - 1)))
        self._arrived.append(arrival)
        self._line.put(octets[:cut])
        self._read_all()
        self._drain_all()
        self._line.put(octets[cut:])
        if self._choices.one_in(4):
            self._right_and_reset()
        self._read_all()

    def _early(self) -> None:
        """Say yes or no to a mail that is on its way, then let it leave."""
        self._say_in_order(self._choices.pick((_YES, _NO, _YES + _YES)))
        self._loop.turn()
        self._drain_all()

    def _right_and_reset(self) -> None:
        """Say what is right, and reset: the client may read the one before it meets the other."""
        sealed = None if self._is_amid_commands() else self._sealed(self._server.right())
        if sealed is not None:
            self._arrived.append(sealed[1])
            self._line.put(sealed[0])
        self._reset()

    def _half(self) -> None:
        self._say_in_order(self._server.half(self._choices))

    def _rubbish(self) -> None:
        self._say_in_order(self._server.rubbish(self._choices))

    def _twisted(self) -> None:
        self._say_in_order(self._server.twisted(self._choices))

    def _say_right(self) -> None:
        self._say_in_order(self._server.right())

    def _say_in_order(self, octets: bytes) -> None:
        self._flush_flights()
        self._say(octets)

    def _damage(self) -> None:
        """Let a record come that is not as it was sealed."""
        tls = self._tls
        if tls is None or not tls.may_write:
            return
        self._flush_flights()
        record = bytearray(tls.seal(b"250 2.0.0 ok\r\n"))
        if not record:
            return
        record[5 + self._choices.below(len(record) - 5)] ^= 1
        self._put_records((bytes(record), b""), is_last=True)

    def _noise(self) -> None:
        """Let clear text come where TLS is."""
        if self._tls is not None:
            octets = self._server.rubbish(self._choices)
            self._put((octets, Arrival(len(octets), is_noise=True)))

    def _alert(self) -> None:
        """Let the server end TLS by an alert. It can't read what the client writes from then on."""
        tls = self._tls
        if tls is None or tls.is_broken or self._has_ended:  # after FIN nothing can be said
            return
        self._flush_flights()
        self._may_cut, may_cut = False, self._may_cut
        self._put_records((tls.alert(), b""), is_last=True)
        self._may_cut = may_cut

    def _take_leave(self) -> None:
        """Let the server say that it says no more, and close."""
        tls = self._tls
        if tls is not None and tls.may_write and not self._has_ended:
            self._flush_flights()
            self._put_records((tls.farewell(), b""), is_last=True)
            if self._choices.one_in(4):
                return
        self._end()

    def _end(self) -> None:
        """Let FIN come."""
        if not (self._has_ended or self._line.is_reset):
            self._has_ended = True
            self._line.put_end()
            if not self._choices.one_in(3):
                while not self._transport.is_closing():
                    self._read()

    def _reset(self) -> None:
        """Let RST come: the client's loop reads what is here, or finds out as it writes."""
        self._line.is_reset = True
        match self._choices.below(3):
            case 0:
                self._read_all()
            case 1:
                pass
            case _:
                return  # whoever writes next finds out
        if not self._transport.is_closing():
            error = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            self._transport.break_off(error)

    def _tick(self) -> None:
        self._loop.advance()

    def _wait(self) -> None:
        """Let all the time go by that a step may take."""
        for _ in range(8):
            self._loop.advance()
            self._loop.turn()

    def _stall(self) -> None:
        """Stand still as a whole process, while the server speaks: the clock is looked at first."""
        tls, line = self._tls, self._line
        octets = self._server.right() or self._server.other(self._choices)
        is_clear = tls is None and not self._is_tls_due
        may_speak = is_clear or (tls is not None and tls.may_write and not self._flights)
        has_buffered = self._transport.get_write_buffer_size() > 0
        if may_speak and not (has_buffered or self._has_ended or line.is_reset or line.waiting):
            sealed = octets if tls is None else tls.seal(octets)
            size = 0 if tls is None else len(sealed)
            if sealed:
                self._arrived.append(Arrival(len(sealed), octets, size))
                line.put(sealed)
        self._loop.advance(10.0)

    def _cancel(self) -> None:
        self._connection.cancel()


_PLACES: Sequence[Callable[[Play], bool]] = (
    *[lambda play: play._connection._dot_written] * 4,
    *[lambda play: play._is_data_owed] * 3,
    *[lambda play: play._ledger._data is not None] * 2,
    lambda play: play._connection._dot_written and play._mails == len(play._scene.mails),
    lambda play: play._is_data_owed and play._mails == len(play._scene.mails),
    lambda play: any(t.data is not None for t in play._ledger.transactions),
    lambda _play: False,  # all of it
    lambda play: play._verdict is not None,
    lambda play: bool(play._ledger.transactions),
    lambda play: play._ledger.in_tls and play._tls is not None,
    lambda play: play._tls is not None,
    lambda _play: True,  # nothing
    lambda play: play._is_released,
    lambda play: play._mails > 1,
    *[lambda play: play._is_held_next] * 3,
)
"""How far all is as it should be, before anything goes wrong: or nothing would come late."""
_MOVES: Sequence[Callable[[Play], None]] = (
    *[Play._right] * 8,
    *[Play._drain] * 5,
    *[Play._two] * 6,
    *[Play._half_then_out] * 6,
    *[Play._early] * 4,
    *[Play._right_and_reset] * 4,
    *[Play._foretell] * 3,
    *[Play._other] * 4,
    *[Play._half] * 3,
    *[Play._say_right] * 3,
    *[Play._ask] * 4,
    *[Play._put_flight] * 2,
    *[Play._read] * 3,
    *[Play._right_and_more] * 3,
    *[Play._reset] * 2,
    *[Play._end] * 2,
    *[Play._hesitate] * 2,
    Play._rubbish,
    Play._twisted,
    Play._damage,
    Play._noise,
    Play._alert,
    Play._take_leave,
    Play._go_on_with_tls,
    Play._tick,
    Play._wait,
    Play._stall,
    Play._cancel,
)
_REST_MOVES: Sequence[Callable[[Play], None]] = (
    *[Play._right] * 6,
    *(Play._ask, Play._put_flight, Play._read, Play._drain, Play._other, Play._tick),
    *(Play._end, Play._reset, Play._take_leave),
)
"""The moves while nobody uses the session."""

_AT_A_HELD_BEGINNING = len(_PLACES) - 1
_AT_THE_END = (Play._two, Play._half_then_out, Play._early, Play._right_and_reset)
_AT = (0, 4)  # places: the end of the mail is written; it is about to be
SEEDS: Sequence[bytes] = (
    *(b"", bytes(24), b"\1", b"\x08", b"\x0a\x20", bytes([0, 0, 3, 1])),
    *(
        bytes([way, slow << 4, 0, 0, 1, place, _MOVES.index(move), how, 0, 0])
        for way in (0, 1, 10)
        for slow in (0, 2)
        for place in _AT
        for move in _AT_THE_END
        for how in (0, 1)
    ),
    *(
        bytes([way, 0, 3, 1, 0, _AT_A_HELD_BEGINNING, _MOVES.index(Play._foretell), 2, cut, how])
        for way in (0, 1, 10, 11)
        for cut in (0, 1, 4)
        for how in (0, 1)
    ),
)
"""Inputs to begin with: the plain ones; and where truth is lost, on either loop and in clear."""
