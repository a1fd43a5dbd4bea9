"""Authentication: SASL mechanisms, and the secrets in them. Never when they are used."""
