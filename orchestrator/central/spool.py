"""Where a tick's parts wait between being made and being handed to the relay: memory, and a file when they are many."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from types import TracebackType

MEMORY_BYTES_MAX = 16 * 1024 * 1024

Target = tuple[int | str, str]
"""A stream or a node, and the kind of part."""


class Spool:
    """Frames in the order in which they were added, numbered per target."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=MEMORY_BYTES_MAX)  # noqa: SIM115 - closed by __exit__
        self._index: list[tuple[Target, int, int]] = []
        self._next: dict[Target, int] = {}

    def add(self, target: Target, frame: bytes) -> None:
        part = self._next.get(target, 0)
        self._next[target] = part + 1
        self._file.write(frame)
        self._index.append((target, part, len(frame)))

    def parts(self) -> Iterator[tuple[Target, int, bytes]]:
        """(target, part number, frame) of all that was added."""
        self._file.seek(0)
        for target, part, length in self._index:
            yield target, part, self._file.read(length)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
