import math
from typing import Any

import pytest
from pykka import ActorRegistry
from servers.scripted import ScriptedServer

from pykka_smtp import SendMail, SendSuccess, SmtpActor
from pykka_smtp.actors.options.option_checks import check_seconds, check_server


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"server": ""}, "server: empty"),
        ({"server": "two words"}, "server: not a host name"),
        ({"server": "a\r\nb"}, "server: not a host name"),
        ({"server": "http://a.test/"}, "server: not a host name"),
        ({"server": "x" * 256}, "server: not a host name"),
        ({"server": "mx.test:25"}, "Write server='mx.test', port=25"),
        ({"server": "127.0.0.1:587"}, "Write server='127.0.0.1', port=587"),
        ({"server": "[::1]:25"}, "Write server='::1', port=25"),
        ({"port": 0}, "port: needs 1 to 65535, not 0"),
        ({"port": -25}, "port: needs 1 to 65535, not -25"),
        ({"port": 65536}, "port: needs 1 to 65535, not 65536"),
        ({"alias": ""}, "alias: empty"),
        ({"timeout": 0}, "timeout: needs to be more than 0 seconds"),
        ({"timeout": -1.5}, "timeout: needs to be more than 0 seconds"),
        ({"timeout": math.nan}, "timeout: needs to be more than 0 seconds"),
        ({"timeout": math.inf}, "timeout: needs to be more than 0 seconds"),
        ({"deadline": 0}, "deadline: needs to be more than 0 seconds"),
        ({"local_hostname": ""}, "EHLO name .*: it is empty"),
        ({"local_hostname": "a b"}, "may not stand in a domain"),
        ({"local_hostname": "a\r\nQUIT"}, "control character"),
        ({"source_address": ("not an address", 0)}, "not an address"),
        ({"source_address": ("127.0.0.1", -1)}, "source_address: needs 0 to 65535"),
        ({"source_address": ("127.0.0.1", 65536)}, "source_address: needs 0 to 65535"),
    ],
)
def test_an_invalid_option_is_a_value_error_in_the_caller(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        SmtpActor.start(**options)

    assert ActorRegistry.get_all() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"server": None}, "server: needs a str, not NoneType"),
        ({"server": b"a.test"}, "server: needs a str, not bytes"),
        ({"port": "25"}, "port: needs an int, not str"),
        ({"port": 25.0}, "port: needs an int, not float"),
        ({"port": True}, "port: needs an int, not bool"),
        ({"alias": None}, "alias: needs a str, not NoneType"),
        ({"timeout": "30"}, "timeout: needs seconds, not str"),
        ({"timeout": None}, "timeout: needs seconds, not NoneType"),
        ({"timeout": True}, "timeout: needs seconds, not bool"),
        ({"deadline": None}, "deadline: needs seconds, not NoneType"),
        ({"local_hostname": b"a.test"}, "local_hostname: needs a str, not bytes"),
        ({"source_address": "127.0.0.1"}, "source_address: needs a pair"),
        ({"source_address": ("127.0.0.1",)}, "source_address: needs a pair"),
        ({"source_address": (None, 0)}, "source_address: needs an address, not NoneType"),
        ({"source_address": ("127.0.0.1", "0")}, "source_address: needs an int, not str"),
        ({"no_such_option": 1}, "no_such_option"),
    ],
)
def test_an_option_of_the_wrong_type_is_a_type_error_in_the_caller(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        SmtpActor.start(**options)

    assert ActorRegistry.get_all() == []


@pytest.mark.parametrize(
    "server", ["localhost", "mail.example.org", "127.0.0.1", "::1", "fe80::1%eth0", "_x.test"]
)
def test_a_server_is_a_name_or_an_address(server: str) -> None:
    check_server(server)


@pytest.mark.parametrize("seconds", [1, 0.001, 86_400, 1e9])
def test_seconds_are_whole_or_not(seconds: float) -> None:
    check_seconds("timeout", seconds)


def test_an_error_never_repeats_more_of_a_bad_name_than_a_line_holds() -> None:
    with pytest.raises(ValueError, match="not a host name") as raised:
        check_server("x\n" * 5000)

    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("loop_kind")
def test_valid_options_are_taken_and_shown_in_the_repr(server: ScriptedServer) -> None:
    ref: Any = SmtpActor.start(
        server.host,
        server.port,
        alias="news",
        timeout=5,
        deadline=10.5,
        local_hostname="client.test",
        source_address=("127.0.0.1", 0),
    )
    actor = ref._actor_weakref()

    assert repr(actor) == f"<SmtpActor 'news' 127.0.0.1:{server.port} idle>"
    outcome = ref.ask(SendMail(sender="a@b.test", recipients="c@d.test"), timeout=10)
    assert isinstance(outcome, SendSuccess)
    assert repr(actor).endswith(" done>")
    assert server.lines[0] == "EHLO client.test"
