"""A root folder for a server whose paths are fixed, or which does not share a machine with others.

The programs come from where ``install.sh`` has put them; the rest is made for each server anew.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .certificates import Tls
from .require import missing, require, require_root

FOLDER = "PYKKA_SMTP_SERVERS"
"""Names the folder of the servers that ``install.sh`` has fetched."""

DEVICES = {"null": (1, 3), "zero": (1, 5), "random": (1, 8), "urandom": (1, 9)}
USER_ID = 64_600
"""The first user's number; nobody on the machine need have it."""


def fetched(name: str) -> Path:
    """Find the folder of a server that ``install.sh`` has fetched; skip, or fail, without it."""
    default = Path.home() / ".cache" / "pykka-smtp-tests"
    folder = Path(os.environ.get(FOLDER) or default) / name
    if not (folder / ".made-by").exists():
        missing(f"{name} is not in {folder.parent}: run tests/servers/install.sh")
    return folder


class ServerRoot:
    """A folder to run a server in, with chroot(2).

    Args:
        path: the folder; see `server_root`.
        users: those that the server asks for by name, besides root.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path, users: Sequence[str]) -> None:
        self.path = path
        self._ids = {"root": 0} | {name: USER_ID + n for n, name in enumerate(users)}
        line = "{0}:x:{1}:{1}::/:/bin/false\n"
        self.write("etc/passwd", "".join(line.format(*user) for user in self._ids.items()))
        line = "{0}:x:{1}:\n"
        self.write("etc/group", "".join(line.format(*user) for user in self._ids.items()))
        self.write("etc/hosts", "127.0.0.1 localhost\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        self.write("etc/services", "smtp 25/tcp\nlmtp 24/tcp\nsmtps 465/tcp\nsubmission 587/tcp\n")
        self.folder("tmp", mode=0o1777)
        for name in ("dev", "run", "var"):
            self.folder(name)
        for name, (major, minor) in DEVICES.items():
            os.mknod(path / "dev" / name, 0o020666, os.makedev(major, minor))
            (path / "dev" / name).chmod(0o666)

    def command(self, *command: str) -> list[str]:
        """Give the command line that runs this one in here."""
        return [require("chroot"), str(self.path), *command]

    def folder(
        self, name: str, owner: str = "root", mode: int = 0o755, group: str | None = None
    ) -> None:
        """Make a folder, and those above it; its group is the owner's own unless told."""
        (self.path / name).mkdir(parents=True, exist_ok=True)
        self._give(name, owner, mode, group)

    def write(self, name: str, data: str | bytes, owner: str = "root", mode: int = 0o644) -> None:
        """Write a file; the folders above it are made."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(data.encode() if isinstance(data, str) else data)
        self._give(name, owner, mode)

    def write_certificates(self, tls: Tls, owner: str = "root") -> None:
        """Write ``etc/certificate.pem`` and ``.key``, and ``etc/client-ca.pem`` if there is one."""
        self.write("etc/certificate.pem", tls.certificate.chain.read_bytes())
        self.write("etc/certificate.key", tls.certificate.key.read_bytes(), owner, 0o600)
        if tls.client_ca is not None:
            self.write("etc/client-ca.pem", tls.client_ca.read_bytes())

    def read(self, name: str) -> str:
        """Read a text; empty where there is no such file."""
        path = self.path / name
        return path.read_text(errors="backslashreplace") if path.exists() else ""

    def _give(self, name: str, owner: str, mode: int, group: str | None = None) -> None:
        os.chown(self.path / name, self._ids[owner], self._ids[group or owner])
        (self.path / name).chmod(mode)


@contextmanager
def server_root(name: str, users: Sequence[str]) -> Iterator[ServerRoot]:
    """Make a root for the server of this name; it is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        root = Path(folder)
        # The server's users must get at their files.
        root.chmod(0o755)
        shutil.copytree(
            fetched(name), root, symlinks=True, dirs_exist_ok=True, copy_function=_link_or_copy
        )
        yield ServerRoot(root, users)


def _link_or_copy(source: str, target: str) -> None:
    # Nothing writes to them, and a link costs nothing; but the cache may be on another disk.
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def require_server(name: str) -> None:
    """Skip, or fail, where this server cannot be run."""
    require_root()
    require("chroot")
    fetched(name)


def fill(text: str, **values: object) -> str:
    """Put values into a configuration file, where ``<name>`` stands."""
    for name, value in values.items():
        text = text.replace(f"<{name}>", str(value))
    return text
