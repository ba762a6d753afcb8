"""What can be awaited, and entered with ``async with`` as well, which closes it at the end of the block."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar


class Closes(Protocol):
    """What has an asynchronous close."""

    async def close(self) -> None:
        """Close it."""


Closing = TypeVar("Closing", bound=Closes)


class Later(Generic[Closing]):
    """``await`` it to have what it makes, or ``async with`` it to have it for a block. Once."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Closing]]) -> None:
        """Nothing is made before it is awaited or entered."""
        self._make = make
        self._made: Closing | None = None

    def __await__(self) -> Generator[Any, Any, Closing]:
        """What it makes."""
        return self._make().__await__()

    async def __aenter__(self) -> Closing:
        """What it makes, to be closed at the end of the block."""
        self._made = made = await self._make()
        return made

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        if self._made is not None:
            await self._made.close()
