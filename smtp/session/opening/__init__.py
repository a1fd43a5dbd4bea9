"""Before and after the mail: greeting, EHLO, STARTTLS, AUTH and QUIT. Never an envelope."""
