"""Who signs emails: domains with their keys. Never how an email is sent."""
