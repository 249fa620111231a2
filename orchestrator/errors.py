"""What can go wrong, as classes that know their exit code and whether trying again can help.

An error is one line: what, where, what to do. Codes are grouped: 1xx configuration and plan, 2xx filters, 3xx central,
4xx relay, 5xx till, 6xx wire and values, 7xx service, command line and demo. A code has one meaning for ever.
"""

from __future__ import annotations

from typing import ClassVar


class TillsyncError(Exception):
    """Something is wrong that a person or a later attempt can put right."""

    exit_code: ClassVar[int] = 1
    retry: ClassVar[bool] = False

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(code, message, hint)
        self.code = code
        self.message = one_line(message)
        self.hint = one_line(hint)

    def __str__(self) -> str:
        said = f"{self.code} {self.message}"
        return f"{said}; {self.hint}" if self.hint else said

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments are lost by the default, and errors cross process borders in tests.
        return _rebuild, (type(self), self.code, self.message, self.hint)


class UsageError(TillsyncError):
    """The command was called wrongly, or a file that it reads says something that cannot be."""

    exit_code = 2


class ConfigError(UsageError):
    """A settings file, a filter or a plan is wrong: nothing was done."""


class Findings(TillsyncError):
    """The command ran to its end and found differences."""

    exit_code = 3


class Unreachable(TillsyncError):
    """A database did not answer: the network, a restart, a full disk. Trying again can help."""

    exit_code = 4
    retry = True


class Busy(TillsyncError):
    """Another run holds what this one needs."""

    exit_code = 5


class PersonMustDecide(TillsyncError):
    """Going on could lose or double something: a person has to say which way."""

    exit_code = 6


class RowFault(TillsyncError):
    """One row cannot be taken; the others can."""


def one_line(text: str) -> str:
    """`text` with every run of white space, line breaks too, as one space."""
    return " ".join(text.split())


def _rebuild(kind: type[TillsyncError], code: str, message: str, hint: str) -> TillsyncError:
    return kind(code, message, hint=hint)
