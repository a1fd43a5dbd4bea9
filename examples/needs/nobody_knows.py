"""Tell apart what failed from what may have been accepted nevertheless."""

from pykka_smtp import SendFailure, SendMail, SmtpActor

mail = SendMail(sender="me@example.com", recipients="you@example.org", body="There.")
outcome = SmtpActor.start("localhost").ask(mail)

# begin
is_in_doubt = isinstance(outcome, SendFailure) and outcome.maybe_accepted
# end

print(is_in_doubt)
