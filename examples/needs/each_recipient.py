"""What became of each recipient, with the server's own words."""

from pykka_smtp import SendMail, SmtpActor

recipients = ["you@example.org", "her@example.org"]
outcome = SmtpActor.start("localhost").ask(SendMail(sender="me@example.com", recipients=recipients))

# begin
replies = {result.address: result.reply for result in outcome.recipients}
# end

print(replies)
