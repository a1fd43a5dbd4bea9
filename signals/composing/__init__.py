"""What a program gives to an email, in any form, becomes its parts. Never an outcome."""
