"""One event in a few words."""

from __future__ import annotations

from typing import Any

from lsmproc.cli.top.figures import duration, size

_STYLES = {
    "worker_died": "red",
    "background_failed": "red",
    "corruption_found": "red",
    "job_failing": "yellow",
    "events_dropped": "yellow",
}


def event_words(event: dict[str, Any]) -> str:
    """What happened, with the figures that matter; an unknown kind is shown with all its fields."""
    kind = str(event.get("event"))
    get = event.get
    match kind:
        case "flush_begun":
            return f"flush of {size(get('bytes'))} begun"
        case "flush_finished":
            return f"flush: table {_list(get('tables'))}, {size(get('bytes'))} in {duration(get('seconds'))}"
        case "compaction_begun":
            return f"compaction {_levels(event)} of {size(get('bytes'))} begun: {get('reason')}"
        case "compaction_finished":
            read, written = size(get("bytes_read")), size(get("bytes_written"))
            return f"compaction {_levels(event)}: {read} to {written} in {duration(get('seconds'))}"
        case "tables_moved":
            return f"{size(get('bytes'))} moved to L{get('output_level')} unread"
        case "stall_changed":
            return f"writes {get('before')} -> {get('after')}: {get('text')}"
        case "worker_started":
            return f"worker {get('worker')} started, pid {get('pid')}"
        case "worker_died":
            job = f", its {get('job')} is run again" if get("job") else ""
            return f"worker {get('worker')} died, pid {get('pid')}{job}"
        case "table_created":
            return f"table {get('number')} in L{get('level')}, {size(get('bytes'))}"
        case "table_deleted":
            return f"table {get('number')} removed"
        case "corruption_found":
            return f"DAMAGE: {get('message')}"
        case "background_failed":
            return f"BACKGROUND FAILED, no writes any more: {get('message')}"
        case "job_failing":
            return f"{get('kind')} failed: {get('message')}"
        case "store_opened":
            return f"opened by pid {get('pid')}: {get('tables')} tables, {size(get('bytes'))}"
        case "store_closed":
            return f"closed by pid {get('pid')}"
    rest = ", ".join(f"{key} {value}" for key, value in event.items() if key not in {"time", "event"})
    return f"{kind.replace('_', ' ')} {rest}".strip()


def event_style(event: dict[str, Any]) -> str:
    """How it is coloured."""
    if event.get("event") == "stall_changed":
        return {"stop": "red", "slowdown": "yellow"}.get(str(event.get("after")), "green")
    return _STYLES.get(str(event.get("event")), "")


def _levels(event: dict[str, Any]) -> str:
    levels = event.get("input_levels")
    first = levels[0] if isinstance(levels, list) and levels else "?"
    return f"L{first}->L{event.get('output_level')}"


def _list(values: Any) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list) and values else "none"
