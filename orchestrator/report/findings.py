"""Findings for a person: one block each, what is wrong above what to do, so that a remedy can be copied."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.report import render


def show(found: Sequence[tuple[str, str, str, bool]]) -> None:
    """(subject, what, remedy, is advice) of each, advice last."""
    out = render.console()
    for subject, what, remedy, is_advice in sorted(found, key=lambda f: f[3]):
        out.print(f"{'advice' if is_advice else 'finding'} ({subject}): {what}", soft_wrap=True)
        out.print(f"    {remedy}", soft_wrap=True)
