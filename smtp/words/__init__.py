"""What is said: replies, commands, stages and verdicts.

Never an email, a password, or what comes next.
"""
