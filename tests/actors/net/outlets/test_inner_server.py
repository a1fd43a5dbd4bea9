"""The server within the process: however octets are cut, it hears the same."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.actors.net.outlets.inner_server import InnerServer
from pykka_smtp.actors.net.outlets.nothing import NullOutlet
from pykka_smtp.smtp.mail.mail_data import encode_whole
from pykka_smtp.smtp.words import command

ENVELOPE = b"EHLO x\r\nMAIL FROM:<a@b.test> SIZE=1\r\nRCPT TO:<c@d.test>\r\nDATA\r\n"
MESSAGES = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"a", b"MAIL"])).map(
    b"".join
)


def pieces_of(octets: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted({cut % (len(octets) + 1) for cut in cuts} | {0, len(octets)})
    for begin, end in itertools.pairwise(places):
        yield octets[begin:end]


@given(message=MESSAGES, cuts=st.lists(st.integers(min_value=0), max_size=20))
def test_mail_data_comes_out_as_it_was_before_its_dots_were_doubled(
    message: bytes, cuts: list[int]
) -> None:
    server = InnerServer(NullOutlet())
    replies = b""

    for piece in pieces_of(ENVELOPE + encode_whole(message) + b".\r\n", cuts):
        assert not server.is_complete
        replies += server.receive(piece)

    assert server.is_complete
    assert bytes(server.data) == encode_whole(message, transparent=False)
    codes = [line[:4] for line in replies.splitlines()]
    assert [code for code in codes if code != b"250-"] == [b"250 "] * 3 + [b"354 "]


@pytest.mark.parametrize("path", ["", '"a>b"@d.test', '"\\">"@d.test', '"<a>"@d.test', "ü@d.test"])
@pytest.mark.parametrize("parameters", [(), ("ORCPT=rfc822;a>b@d.test", "NOTIFY=NEVER")])
def test_a_path_ends_where_it_ends(path: str, parameters: tuple[str, ...]) -> None:
    server = InnerServer(NullOutlet())

    server.receive(command.mail(path, *parameters).wire)
    server.receive(command.rcpt(path or "x@d.test", *parameters).wire)

    assert server.taken is not None
    assert (server.taken.sender, server.taken.parameters) == (path, " ".join(parameters))
    assert server.taken.recipients == [path or "x@d.test"]


def test_what_comes_out_of_turn_is_rejected() -> None:
    server = InnerServer(NullOutlet())

    assert server.receive(b"RCPT TO:<a@b.test>\r\nDATA\r\nVRFY x\r\n").split(b"\r\n")[:-1] == [
        b"502 5.5.1 not known here",
        b"503 5.5.1 no recipient was accepted",
        b"502 5.5.1 not known here",
    ]
    assert server.receive(b"QUIT\r\n") == b"221 2.0.0 bye\r\n"
