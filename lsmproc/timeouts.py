"""What a number of seconds to wait may be. Checked before anything is done, not only when there is something to wait
for: a mistake shows at the first call and not in the first stall.
"""

from __future__ import annotations

from threading import TIMEOUT_MAX


def checked_timeout(seconds: object, name: str = "timeout") -> float:
    """``seconds`` if one can wait for so long; more than the system can count is the most that it can.

    Raises TypeError for what is no number, ValueError for a negative one and for NaN.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {type(seconds).__name__}")
    if not seconds >= 0:  # NaN neither is nor is not.
        raise ValueError(f"{name} = {seconds!r}: give seconds, 0 or more")
    return min(seconds, TIMEOUT_MAX)
