"""Secrets in texts that a person or a log gets to see."""

from __future__ import annotations

import re

HIDDEN = "***"
_IN_ADDRESS = re.compile(r"(?<=://)([^:/?#@\s]*):[^/?#\s]*@")
_IN_WORDS = re.compile(r"\b(password|sslpassword|passwd|token|secret)(\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]*)")


def mask(text: str) -> str:
    """The text, a connection string say, with its secrets hidden."""
    return _IN_WORDS.sub(rf"\1\2{HIDDEN}", _IN_ADDRESS.sub(rf"\1:{HIDDEN}@", text))
