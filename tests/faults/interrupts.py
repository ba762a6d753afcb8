"""Raises KeyboardInterrupt at the n-th bytecode instruction of chosen functions."""

from __future__ import annotations

import dis
import sys
from functools import cache
from types import CodeType, FrameType
from typing import Any, Self


class Interrupter:
    """A context manager that interrupts at instruction ``at`` of the code in the named modules; None only counts."""

    def __init__(self, at: int | None, *file_endings: str) -> None:
        self.seen = 0
        self.where = ""
        self._at = at
        self._file_endings = file_endings

    def __enter__(self) -> Self:
        """Trace this thread from here on."""
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        """Trace no more."""
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.endswith(self._file_endings):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode" and frame.f_lasti not in _never_interrupted(frame.f_code):
            if self.seen == self._at:
                self.where = f"{frame.f_code.co_qualname}:{frame.f_lineno} instruction {frame.f_lasti}"
                self.seen += 1
                raise KeyboardInterrupt
            self.seen += 1
        return self._trace


@cache
def _never_interrupted(code: CodeType) -> frozenset[int]:
    """Offsets of the instructions with which a ``with`` block calls ``__exit__(None, None, None)``, and of NOPs.

    The interpreter looks for signals only at calls and jumps back, so no KeyboardInterrupt comes between the last
    instruction of the block and the end of that call; a test that raises there would see locks kept for ever. The
    same is true of the NOP that stands for ``try:``, which no handler covers.
    """
    instructions = list(dis.get_instructions(code))
    offsets = {each.offset for each in instructions if each.opname == "NOP"}
    for position in range(len(instructions) - 4):
        three = instructions[position : position + 3]
        if all(each.opname == "LOAD_CONST" and each.argval is None for each in three):
            calls = [each for each in instructions[position + 3 : position + 5] if each.opname in {"PRECALL", "CALL"}]
            offsets |= {each.offset for each in (*three, *calls)}
            before = instructions[position - 1]
            if before.opname == "SWAP":
                offsets.add(before.offset)
    return frozenset(offsets)
