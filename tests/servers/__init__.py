"""Servers that the tests send to: scripted ones of our own, and real ones.

A package with an ``__init__.py``, unlike the folders of tests: ``tests`` is on pytest's
``pythonpath``, so that every test can write ``from servers.scripted import ScriptedServer``.
"""
