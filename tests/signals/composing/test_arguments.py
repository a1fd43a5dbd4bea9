"""What type checkers know of the arguments of `SendMail` is what it takes."""

import dataclasses

from pykka_smtp import SendMail
from pykka_smtp.signals.composing.arguments import MailArguments


def test_type_checkers_know_each_argument_of_an_email_and_no_other() -> None:
    taken = [field.name for field in dataclasses.fields(SendMail) if field.init]

    assert list(MailArguments.__annotations__) == taken
    assert MailArguments.__required_keys__ == {"sender"}
