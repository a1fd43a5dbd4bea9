"""On which port does a process listen? Asked again and again, so the answer must be quick."""

import contextlib
import socket
import struct
from pathlib import Path

import psutil  # type: ignore[import-untyped]

SOCK_DIAG = 4
"""NETLINK_SOCK_DIAG: the kernel's own list of sockets, see sock_diag(7)."""
BY_FAMILY, DUMP = 20, 0x301
LISTEN = 10
"""A socket's state, TCP_LISTEN."""
DONE, ERROR = 3, 2
HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBxxI48x")
ANSWER = struct.Struct(">4xH62x")
"""Of it only the port counts here, and behind it the inode, in the machine's own order."""
ANSWERS_MAX = 10_000
"""Reads of one list; each holds many sockets."""


def listening_port(pid: int) -> int:
    """Give the port on which a process listens, or its children if it does not itself; else 0.

    Args:
        pid: the process; it may have ended.
    """
    # It may have ended meanwhile.
    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        try:
            ports = _listening()
        except OSError:
            return _slowly(process)
        for each in (pid, *(child.pid for child in process.children())):
            for inode in _sockets(each):
                if inode in ports:
                    return ports[inode]
    return 0


def _slowly(process: psutil.Process) -> int:
    # It reads the list of all connections, of which a busy machine has tens of thousands.
    for each in (process, *process.children()):
        for connection in each.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                return int(connection.laddr.port)
    return 0


def _sockets(pid: int) -> list[int]:
    """Give the inodes of a process's sockets."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        # It may have been closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            target = str(path.readlink())
            if target.startswith("socket:["):
                found.append(int(target[8:-1]))
    return found


def _listening() -> dict[int, int]:
    """Give the ports of all sockets that listen, by inode.

    Raises:
        OSError: this system has no such list.
    """
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError("no netlink here")
    ports: dict[int, int] = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        request = REQUEST.pack(family, socket.IPPROTO_TCP, 1 << LISTEN)
        header = HEADER.pack(HEADER.size + len(request), BY_FAMILY, DUMP, 1, 0)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG) as kernel:
            kernel.settimeout(5)
            kernel.send(header + request)
            for _ in range(ANSWERS_MAX):
                if _read(kernel.recv(64 * 1024), ports):
                    break
    return ports


def _read(answers: bytes, ports: dict[int, int]) -> bool:
    """Read what the kernel has sent, and tell whether that was all."""
    while answers:
        length, kind = HEADER.unpack_from(answers)[:2]
        if kind == ERROR:
            raise OSError("the kernel has no list of sockets")
        if kind == DONE:
            return True
        [port] = ANSWER.unpack_from(answers, HEADER.size)
        [inode] = struct.unpack_from("=I", answers, HEADER.size + ANSWER.size)
        ports[inode] = port
        answers = answers[(length + 3) // 4 * 4 :]
    return False
