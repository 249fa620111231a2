"""Tillsync keeps the tills of a retail chain in step with head office, at database level."""

__version__ = "0.1.0"
