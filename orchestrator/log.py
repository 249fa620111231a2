"""Logs: one JSON object a line for machines, or coloured lines for a person at a terminal. Always on stderr."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

__all__ = ["FilteringBoundLogger", "configure", "logger"]


def configure(*, level: str = "info", json: bool | None = None, stream: TextIO | None = None) -> None:
    """Sets up logging for the process; `json=None` means JSON unless `stream` is a terminal."""
    out = sys.stderr if stream is None else stream
    as_json = not out.isatty() if json is None else json
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
