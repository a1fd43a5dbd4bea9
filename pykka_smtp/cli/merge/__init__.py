"""``pykka-smtp merge``: an email for each row of a file. Never how an email is sent."""
