"""Outcomes that are on their way into the file, noted so that the process may die meanwhile.

A process notes them in the file on which it holds its lock. The system keeps what a process has
written, whether it lives or not, so that takes microseconds where the outbox itself waits for the
disk. Whoever finds the process dead writes them into the outbox.

After a power cut notes are not looked at: of what was written last, some may be missing.
"""

import contextlib
import mmap
import os
import struct
import sys
import weakref
import zlib
from collections.abc import Sequence
from pathlib import Path

from ....signals.forks import in_child
from .file_system import keeps_its_place
from .records import Ending, Later

_FIRST = 4096
"""Octets before the first place: the lock, and the start of the system."""
_HEADER = 512
_PLACE = 4096
"""Octets of a place, which holds one outcome."""
_MOST = 512
_LENGTH_AND_SUM = struct.Struct("<II")
_EMPTY = bytes(_LENGTH_AND_SUM.size)
Note = Ending | Later


class OutcomeNotes:
    """Notes of one life. On the loop thread.

    Args:
        path: its file.
        boot: names this start of the system, see `ClockNote`.

    Raises:
        OSError: it cannot be written, or the disk is full.
    """

    def __init__(self, path: Path, boot: str) -> None:
        self._places: dict[int, int] = {}  # by the number of the email
        self._used = 0  # ever
        self._free: list[int] = []
        self._octets: mmap.mmap | None = _mapped(path)
        self._octets[_HEADER : 2 * _HEADER] = boot.encode("ascii").ljust(_HEADER, b"\0")
        _open_notes.add(self)

    def add(self, note: Note) -> bool:
        """Note an outcome; return False if that was not possible."""
        record = _to_octets(note)
        if len(record) > _PLACE or self._octets is None:
            return False
        if self._free:
            place = self._free.pop()
        elif self._used < _MOST:
            place, self._used = self._used, self._used + 1
        else:
            return False
        at = _at(place)
        self._octets[at : at + len(record)] = record
        self._places[note.seq] = place
        return True

    def is_written(self, seq: int) -> None:
        """Remove what is noted of an email: its outcome is in the outbox.

        At once, as this life may have that email in hand again, and then it must not count.
        """
        place = self._places.pop(seq, None)
        if place is not None and self._octets is not None:
            at = _at(place)
            self._octets[at : at + len(_EMPTY)] = _EMPTY
            self._free.append(place)

    def close(self) -> None:
        """Note nothing from here on. May be called again."""
        octets, self._octets = self._octets, None
        if octets is not None:
            octets.close()


_open_notes: "weakref.WeakSet[OutcomeNotes]" = weakref.WeakSet()


def _close_copies() -> None:
    for notes in list(_open_notes):
        notes.close()


in_child(_close_copies)  # they are the parent's


def _mapped(path: Path) -> mmap.mmap:
    """Return the file's memory: who writes there gives the interpreter's lock away to nobody.

    What another outbox of this name has left there is removed. The disk has room for all of it, and
    keeps it: otherwise a write into memory would end the process.
    """
    size = _at(_MOST)
    number = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.ftruncate(number, 0)
        os.posix_fallocate(number, 0, size)
        return mmap.mmap(number, size)
    except OSError:
        os.ftruncate(number, 0)  # the disk is full: it needs no file that is half there
        raise
    finally:
        os.close(number)


def open_notes(path: Path, boot: str) -> OutcomeNotes | None:
    """Return the notes of a life; None where they are of no use.

    Args:
        path: its file.
        boot: names this start of the system; empty if it does not say.
    """
    if not boot or sys.platform != "linux" or not keeps_its_place(path.parent):
        return None
    with contextlib.suppress(OSError):
        return OutcomeNotes(path, boot)
    return None


def read_notes(path: Path, boot: str) -> Sequence[Note]:
    """Return what a life has noted that is dead.

    Args:
        path: its file.
        boot: names this start of the system: notes from before it do not count.
    """
    try:
        octets = path.read_bytes()
    except OSError:
        return []
    if not boot or octets[_HEADER : 2 * _HEADER].rstrip(b"\0") != boot.encode("ascii"):
        return []
    found = (_of_octets(octets[at : at + _PLACE]) for at in range(_FIRST, len(octets), _PLACE))
    return [note for note in found if note is not None]


def _at(place: int) -> int:
    return _FIRST + place * _PLACE


def _to_octets(note: Note) -> bytes:
    if isinstance(note, Ending):
        text = f"told {note.seq} {note.is_sent:d}\n{note.outcome}"
    else:
        text = f"again {note.seq} {note.due!r} {note.doubts}\n{note.past or ''}"
    octets = text.encode("utf-8", "surrogatepass")
    return _LENGTH_AND_SUM.pack(len(octets), zlib.crc32(octets)) + octets


def _of_octets(octets: bytes) -> Note | None:
    if len(octets) < len(_EMPTY):
        return None
    length, checksum = _LENGTH_AND_SUM.unpack_from(octets)
    text = octets[len(_EMPTY) : len(_EMPTY) + length]
    if not length or len(text) != length or zlib.crc32(text) != checksum:
        return None  # nothing, or the process died while it wrote
    facts, _, rest = text.decode("utf-8", "surrogatepass").partition("\n")
    match facts.split(" "):
        case ["told", seq, is_sent]:
            return Ending(int(seq), rest, is_sent == "1", publishes=False)
        case ["again", seq, due, doubts]:
            return Later(int(seq), float(due), rest or None, int(doubts))
        case _:
            return None
