"""Each option is defined once, and the error for an unknown one names the most similar."""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pykka import ActorRegistry

from pykka_smtp import ConnectionOptions, Mailer, MailerOptions, SmtpActor, verify
from pykka_smtp.actors.mailer.options import MAILER_DEFAULTS
from pykka_smtp.actors.options import connection_options
from pykka_smtp.actors.options.connection_options import DEFAULTS, defaults_of

SOURCES: dict[type[ConnectionOptions], Path] = {
    ConnectionOptions: Path(connection_options.__file__),
    MailerOptions: Path(inspect.getfile(MailerOptions)),
}
TAKERS: dict[str, Callable[..., object]] = {
    "SmtpActor": SmtpActor.start,
    "Mailer": Mailer.start,
    "verify": verify,
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("prot", "port"),
        ("sever", "server"),
        ("timout", "timeout"),
        ("usrname", "username"),
        ("pasword", "password"),
        ("host", "server"),
        ("user", "username"),
        ("use_tls", "tls"),
        ("allow_plain_auth", "allow_plaintext_auth"),
    ],
)
def test_an_unknown_option_is_a_type_error_that_names_the_nearest(
    taker: str, given: str, meant: str
) -> None:
    with pytest.raises(TypeError) as raised:
        TAKERS[taker]("mx.test", **{given: "x"})

    assert str(raised.value) == f"{given} is not an option of {taker}; did you mean {meant}?"
    assert ActorRegistry.get_all() == []


def test_an_unknown_option_that_is_near_to_none_has_no_advice() -> None:
    given: Any = {"zzz": 1}

    with pytest.raises(TypeError, match=r"^zzz is not an option of SmtpActor$"):
        SmtpActor.start(**given)


def test_an_option_of_a_mailer_is_none_of_an_smtp_actor_and_both_take_those_of_a_connection() -> (
    None
):
    given: Any = {"max_connections": 1}

    with pytest.raises(TypeError, match=r"^max_connections is not an option of SmtpActor"):
        SmtpActor.start(**given)
    assert set(MAILER_DEFAULTS) > set(DEFAULTS)


def test_an_unknown_option_is_reported_before_an_invalid_value() -> None:
    given: Any = {"prot": 1, "timeout": -1}

    with pytest.raises(TypeError, match=r"^prot is not an option"):
        SmtpActor.start(**given)


@pytest.mark.parametrize("options", SOURCES, ids=lambda kind: kind.__name__)
def test_each_option_has_a_default_and_says_what_it_means(options: type[ConnectionOptions]) -> None:
    [described] = [
        node
        for node in ast.parse(SOURCES[options].read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == options.__name__
    ]
    [_, *body] = described.body  # behind the docstring
    keys = [node.target.id for node in body[::2] if isinstance(node, ast.AnnAssign)]  # type: ignore[union-attr]
    meanings = [ast.literal_eval(node.value) for node in body[1::2] if isinstance(node, ast.Expr)]

    assert keys == [name for name in inspect.get_annotations(options) if name in keys]
    assert len(meanings) == len(keys) > 8
    assert all(meaning.strip().endswith((".", ")")) for meaning in meanings)
    assert set(keys) <= set(defaults_of(options))


def test_what_is_left_out_is_what_the_default_says() -> None:
    for name, default in DEFAULTS.items():
        ours: Any = {name: default}
        with_default, without = SmtpActor(**ours), SmtpActor()
        # What a server was found to do wrong is shared by those with the same options.
        assert with_default._options is without._options


def test_the_signature_of_an_actor_is_that_of_its_options() -> None:
    for actor, options in ((SmtpActor, ConnectionOptions), (Mailer, MailerOptions)):
        parameters = inspect.signature(actor).parameters
        assert list(parameters) == ["server", "port", "options"]
        assert parameters["options"].annotation.__args__ == (options,)
