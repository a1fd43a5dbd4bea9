"""Authentication: SASL mechanisms, and the secrets in them; never when they are used."""
