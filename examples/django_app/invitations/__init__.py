"""Invitations by email."""
