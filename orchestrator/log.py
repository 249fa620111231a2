"""Logs: one JSON object a line for machines, or coloured lines for a person at a terminal. Always on stderr."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from orchestrator.masking import mask

__all__ = ["FilteringBoundLogger", "bound", "configure", "logger"]


def configure(
    *,
    level: str = "info",
    json: bool | None = None,
    form: Literal["auto", "json", "pretty"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Sets up logging for the process; JSON unless `stream` is a terminal, where neither `json` nor `form` says."""
    out = sys.stderr if stream is None else stream
    as_json = form == "json" if form != "auto" else not out.isatty() if json is None else json
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=out.isatty() and "NO_COLOR" not in os.environ)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if as_json else []),
            _masked,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        # Tests configure again; a cached logger would keep writing to a stream that is closed.
        cache_logger_on_first_use=False,
    )


def logger(part: str) -> FilteringBoundLogger:
    """The logger of one part of the program, such as `central.publish`."""
    log: FilteringBoundLogger = structlog.get_logger(part=part)
    return log


@contextmanager
def bound(**labels: Any) -> Iterator[None]:
    """What is logged within, in this thread, is labelled: with the branch or the tick that it is about."""
    with structlog.contextvars.bound_contextvars(**labels):
        yield


def _masked(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """No line has a password, whoever passed one on: in an address or as `password=`."""
    return {name: mask(value) if isinstance(value, str) else value for name, value in event.items()}
