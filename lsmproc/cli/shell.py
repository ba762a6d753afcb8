"""``lsmproc shell``: a prompt at an open store."""

from __future__ import annotations

import argparse
import cmd
import shlex
import sys
from itertools import islice
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command, add_store, add_text_form
from lsmproc.cli.exit_codes import FINE, CannotError
from lsmproc.cli.record_text import given_bytes, shown
from lsmproc.cli.store_access import open_to_read, open_to_write
from lsmproc.errors import Error

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands
    from lsmproc.store import LSMStore

_EXAMPLES = """
lsmproc shell /data/store
lsmproc shell /data/store --read-only
printf 'put a 1\\nget a\\n' | lsmproc shell /tmp/store
"""
_SCAN_LIMIT = 20


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "shell",
        run,
        summary="open a store and take commands at a prompt",
        details="get, put, delete, scan, stats, flush, compact, set, help, quit. The store is this shell's until it\n"
        "ends. Words with spaces stand in quotes. From a pipe, the first command that fails ends it with exit code 2.",
        examples=_EXAMPLES,
    )
    add_store(parser)
    parser.add_argument("--read-only", action="store_true", help="change nothing")
    add_text_form(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    store = open_to_read(arguments) if arguments.read_only else open_to_write(arguments, create=True)
    with store:
        shell = _Shell(store, hexadecimal=arguments.hex, interactive=sys.stdin.isatty())
        while True:
            try:
                shell.cmdloop()
            except KeyboardInterrupt:
                if not shell.interactive:
                    raise
                print("^C (quit ends the shell)")
            else:
                return FINE


class _Shell(cmd.Cmd):
    """One command a line; a mistake is told, and the prompt comes back."""

    def __init__(self, store: LSMStore, *, hexadecimal: bool, interactive: bool) -> None:
        super().__init__(stdin=sys.stdin, stdout=sys.stdout)
        self.interactive = interactive
        self.use_rawinput = interactive
        self.prompt = "lsmproc> " if interactive else ""
        self._store = store
        self._hex = hexadecimal
        if interactive:
            self.intro = f"{store!r}\nhelp lists the commands, quit ends."

    def onecmd(self, line: str) -> bool:
        """Run one line; an error of ours is told, and from a pipe it ends the shell."""
        try:
            return bool(super().onecmd(line))
        except (Error, CannotError, TimeoutError, TypeError, ValueError) as error:
            if not self.interactive:
                raise error if isinstance(error, (Error, CannotError)) else CannotError(str(error)) from error
            print(f"{type(error).__name__}: {error}")
            return False

    def emptyline(self) -> bool:
        """Nothing, and not the last command again."""
        return False

    def default(self, line: str) -> None:
        """No such command."""
        raise CannotError(f"there is no command {line.split(maxsplit=1)[0]!r}; help lists them")

    def do_get(self, line: str) -> None:
        """Get KEY: print its value."""
        (key,) = self._words(line, "get KEY", 1, 1)
        value = self._store.get(self._bytes(key))
        print("(no such key)" if value is None else shown(value, hexadecimal=self._hex))

    def do_put(self, line: str) -> None:
        """Put KEY VALUE: set a key."""
        key, value = self._words(line, "put KEY VALUE", 2, 2)
        self._store.put(self._bytes(key), self._bytes(value))

    def do_delete(self, line: str) -> None:
        """Delete KEY: remove a key."""
        (key,) = self._words(line, "delete KEY", 1, 1)
        self._store.delete(self._bytes(key))

    def do_scan(self, line: str) -> None:
        """Scan [PREFIX [LIMIT]]: print records in order, 20 unless another limit is given."""
        words = self._words(line, "scan [PREFIX [LIMIT]]", 0, 2)
        limit = _limit(words[1]) if len(words) > 1 else _SCAN_LIMIT
        prefix = self._bytes(words[0]) if words else b""
        with_next = list(islice(self._store.range(prefix=prefix, fill_cache=False), limit + 1))
        for key, value in with_next[:limit]:
            print(f"{shown(key, hexadecimal=self._hex)}\t{shown(value, hexadecimal=self._hex)}")
        if len(with_next) > limit:
            print(f"(and more; scan PREFIX {2 * limit} shows more)")

    def do_stats(self, line: str) -> None:
        """stats: print the levels and other figures."""
        from lsmproc.statistics import format_stats  # noqa: PLC0415 - the engine is not needed to print help

        self._words(line, "stats", 0, 0)
        print(format_stats(self._store.stats()), end="")

    def do_flush(self, line: str) -> None:
        """flush: write the memtable to a table."""
        self._words(line, "flush", 0, 0)
        result = self._store.flush_memtable()
        tables = result.tables if result is not None else ()
        print(f"{sum(table.entries for table in tables):,} records in {len(tables)} tables")

    def do_compact(self, line: str) -> None:
        """compact: merge all levels down."""
        self._words(line, "compact", 0, 0)
        print(f"{sum(result.compactions for result in self._store.compact_range())} compactions")

    def do_set(self, line: str) -> None:
        """Set SETTING VALUE: change a setting while the store is open."""
        from lsmproc.config.sources import setting_value  # noqa: PLC0415 - the engine is not needed to print help

        name, value = self._words(line, "set SETTING VALUE", 2, 2)
        for change in self._store.set_options(**{name: setting_value(value)}):
            print(change)

    def do_quit(self, line: str) -> bool:
        """quit: close the store and leave; so does the end of the input."""
        del line
        return True

    def do_EOF(self, line: str) -> bool:  # noqa: N802 - the name that cmd gives to the end of the input
        """The end of the input: as quit."""
        if self.interactive:
            print()
        return self.do_quit(line)

    def _words(self, line: str, usage: str, least: int, most: int) -> list[str]:
        words = shlex.split(line)
        if not least <= len(words) <= most:
            raise CannotError(f"usage: {usage}")
        return words

    def _bytes(self, word: str) -> bytes:
        return given_bytes(word, hexadecimal=self._hex)


def _limit(text: str) -> int:
    if not text.isdecimal():
        raise CannotError(f"a LIMIT is a number of records, and not {text!r}: scan [PREFIX [LIMIT]]")
    return int(text)
