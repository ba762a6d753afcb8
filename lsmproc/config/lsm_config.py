"""LSMConfig: every setting of a store, in one frozen value.

Each field says what it decides, when to change it and what that costs; ``LSMConfig.explain(name)`` prints the same.
Sizes are bytes and times are in the unit that ends the field's name; both may also be given as text ("64MiB",
"250ms") and are whole numbers afterwards (a type checker accepts the text in ``from_options``, not in the
constructor). A value that cannot work is refused when the config is made, and ``ConfigError.problems`` then lists
everything that is wrong with it.
"""

from __future__ import annotations

import os
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, Self

from lsmproc.config.checks import check, in_line_order
from lsmproc.config.explanation import explain
from lsmproc.config.layers import Layer, merged
from lsmproc.config.option import choice, count, cpu_numbers, flag, seconds, size
from lsmproc.config.profiles import profile_layer
from lsmproc.config.store_settings import StoreSettings
from lsmproc.config.toml_file import read_toml, write_toml
from lsmproc.config.units import KIB, TIB
from lsmproc.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class LSMConfig(StoreSettings):
    """The settings of one store. Immutable, comparable and picklable; ``replace`` makes a changed copy."""

    # Background work

    background: Literal["process", "thread", "inline"] = choice(
        "process",
        "process",
        "thread",
        "inline",
        what="Where flushes and compactions run: worker processes, threads, or the writing call itself.",
        when="'thread' where processes are forbidden; 'inline' for tests and short scripts that want no concurrency.",
        costs="'process': about 20 MiB for each worker. 'thread' shares the interpreter lock. 'inline': writes wait.",
    )
    flush_workers: int = count(
        1,
        low=1,
        high=64,
        live=True,
        what="Workers that only flush.",
        when="2 if writes stop for want of flushes while the disk has room to spare.",
        costs="One process of about 20 MiB each.",
    )
    compaction_workers: int = count(
        2,
        low=1,
        high=64,
        live=True,
        what="Workers that compact; one large compaction is split over several.",
        when="Raise while the debt grows and there are idle cores; never above the number of cores.",
        costs="One process of about 20 MiB and up to one core each.",
    )
    worker_niceness: int = count(
        10,
        low=0,
        high=19,
        live=True,
        what="How far compaction workers step back from other processes for CPU time (nice); flush workers never do.",
        when="Lower where the debt grows although other processes leave too little time for compactions.",
        costs="Debt grows while the machine is busy. With 0, compactions slow down writes where cores are few.",
    )
    worker_io_priority: Literal["normal", "low", "idle"] = choice(
        "normal",
        "normal",
        "low",
        "idle",
        live=True,
        what="How the disk serves compaction workers beside other processes (as ionice); flush workers are normal.",
        when="'low' or 'idle' on a shared host whose scheduler knows priorities (bfq), where reads must come first.",
        costs="Debt grows while the disk is busy; 'idle' may stand still for as long as others use the disk.",
    )
    worker_cpus: tuple[int, ...] | None = cpu_numbers(
        None,
        live=True,
        what="The CPUs that worker processes may run on, by number; 'all' are those of the process itself.",
        when="Set on a shared host to keep CPUs free for the service, or for its neighbours.",
        costs="Workers that share few CPUs fall behind.",
    )
    worker_hang_seconds: int = seconds(
        300,
        low=10,
        high=86_400,
        what="A worker that gives no sign of life for so long in a job is killed, and the job run again by another.",
        when="Raise where one sync of a table may take minutes; lower where a stopped worker must be replaced sooner.",
        costs="Too low: a slow disk looks like a hung worker, and a job that loses three workers ends writes.",
    )
    worker_idle_seconds: int = seconds(
        60,
        low=1,
        high=31_536_000,
        what="A worker process without a job for so long leaves, and is started again with the next job.",
        when="Raise where flushes come at longer intervals than this and each should begin at once.",
        costs="Low: about a tenth of a second of one core for a start. High: memory of about 20 MiB for each worker.",
    )
    rate_limit_bytes_per_sec: int | None = size(
        None,
        low=KIB,
        high=TIB,
        none="unlimited",
        rate=True,
        live=True,
        what="Bytes per second that all workers together may write.",
        when="Set to leave disk bandwidth to reads and to the log; at least 2 times the rate of flushes.",
        costs="Too low: the debt grows and writes are slowed down.",
    )
    rate_limit_auto: bool = flag(
        False,
        live=True,
        what="Let the rate follow the writes that come in, with rate_limit_bytes_per_sec as its ceiling.",
        when="Turn on where the load varies and reads must feel background work as little as it allows.",
        costs="Debt is paid back over half a minute and not at once.",
    )

    def __post_init__(self) -> None:
        """Check and normalise all fields, then the rules between them; raises ConfigError."""
        values, problems = check(fields(self), self._values())
        if problems:
            raise ConfigError(problem.text() for problem in problems)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_options(cls, data_dir: str | os.PathLike[str], /, **options: Any) -> Self:
        """The config of these options. As the constructor, but a misspelt option is a ConfigError with a remedy."""
        return cls._of_layers(Layer({"data_dir": data_dir, **options}))

    @classmethod
    def from_profile(cls, name: str, data_dir: str | os.PathLike[str], /, **overrides: Any) -> Self:
        """One of the profiles that come with the package (see ``profile_names``), with changes."""
        return cls._of_layers(profile_layer(name), Layer({"data_dir": data_dir, **overrides}))

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], /, *, profile: str | None = None, **overrides: Any) -> Self:
        """The options in a TOML file, over a profile if one is named, under ``overrides``.

        Raises ConfigError with file and line of each problem, and OSError if the file cannot be read.
        """
        below = (profile_layer(profile),) if profile is not None else ()
        return cls._of_layers(*below, read_toml(path), Layer(overrides))

    def replace(self, **changes: Any) -> Self:
        """A copy with these changes, checked anew."""
        return self._of_layers(Layer(self._values()), Layer(changes))

    def to_toml(self, *, explained: bool = False) -> str:
        """All settings as TOML that ``from_toml`` reads back; with ``explained``, each under its documentation."""
        return write_toml(fields(self), self._values(), explained=explained)

    @classmethod
    def explain(cls, name: str) -> str:
        """What a setting decides, accepts and costs. Raises ConfigError for an unknown name."""
        return explain(fields(cls), name)

    def __repr__(self) -> str:
        """The settings that differ from their defaults, as the call that makes them."""
        changed = (f for f in fields(self) if f.default is MISSING or getattr(self, f.name) != f.default)
        return f"LSMConfig({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in changed)})"

    def _values(self) -> dict[str, object]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def _of_layers(cls, *layers: Layer) -> Self:
        values, origins = merged(layers)
        checked, problems = check(fields(cls), values)
        if problems:
            raise ConfigError(problem.text(origins) for problem in in_line_order(problems, origins))
        return cls(**checked)
