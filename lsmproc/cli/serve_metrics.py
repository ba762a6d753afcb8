"""``lsmproc serve-metrics``: the metrics of stores that other processes have open, for Prometheus to scrape."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lsmproc.cli.argument_groups import add_command
from lsmproc.cli.exit_codes import FINE, CannotError
from lsmproc.cli.termination import terminated_like_interrupted

if TYPE_CHECKING:
    from lsmproc.cli.argument_groups import Commands
    from lsmproc.metrics import MetricsServer, StoreMetrics

_EXAMPLES = """
lsmproc serve-metrics /data/a /data/b
lsmproc serve-metrics /data/a --port 9000 --address 0.0.0.0
lsmproc serve-metrics --print alerts > alerts.yml
lsmproc serve-metrics --print grafana > dashboard.json
"""
_SHIPPED = {"alerts": "alerts.yml", "grafana": "grafana.json"}
_HIGHEST_PORT = 65_535


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "serve-metrics",
        run,
        summary="serve the metrics of open stores to Prometheus",
        details="Reads the pages that the owners of open stores rewrite, takes no lock and needs no change to them.\n"
        "A store without a living owner is lsmproc_up 0. Ctrl-C ends it. Nothing asks who reads: anybody who\n"
        "can reach the address can, so keep to the default, this machine, or to a network of your own.",
        examples=_EXAMPLES,
    )
    parser.add_argument("paths", metavar="PATH", nargs="*", help="directories of stores")
    parser.add_argument("--port", type=_port, default=9464, help="default 9464; 0 takes a free one")
    parser.add_argument("--address", default="127.0.0.1", help="address to listen at (default 127.0.0.1)")
    parser.add_argument(
        "--print", choices=sorted(_SHIPPED), dest="shipped", help="print the shipped file and do nothing else"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from importlib import resources  # noqa: PLC0415 - not needed to print help

    if arguments.shipped is not None:
        text = resources.files("lsmproc.metrics").joinpath(_SHIPPED[arguments.shipped]).read_text(encoding="utf-8")
        print(text, end="")
        return FINE
    if not arguments.paths:
        raise CannotError("no PATH: name the directories of the stores to serve")
    tuple(_look(arguments.paths, missing_is_down=False))
    with terminated_like_interrupted(), _listening(arguments) as server:
        print(f"serving {server.url}", file=sys.stderr, flush=True)
        server.wait()
    return FINE


def _listening(arguments: argparse.Namespace) -> MetricsServer:
    from lsmproc.metrics import MetricsServer  # noqa: PLC0415 - not needed to print help

    try:
        return MetricsServer(lambda: _look(arguments.paths), port=arguments.port, address=arguments.address)
    except OSError as error:
        place = f"{arguments.address}, port {arguments.port}"
        raise CannotError(f"cannot listen at {place}: {error.strerror or error}; --port 0 takes a free one") from error


def _look(paths: Sequence[str], *, missing_is_down: bool = True) -> Iterator[StoreMetrics]:
    """What the pages of the stores say. Raises NotAStoreError for a path without one, unless that counts as down."""
    from lsmproc.errors import NotAStoreError  # noqa: PLC0415 - not needed to print help
    from lsmproc.metrics import StoreMetrics  # noqa: PLC0415 - as above
    from lsmproc.metrics.store_metrics import label_of  # noqa: PLC0415 - as above
    from lsmproc.monitoring.store_status import read_status  # noqa: PLC0415 - as above

    for path in paths:
        try:
            status = read_status(path)
        except NotAStoreError:
            if not missing_is_down:
                raise
            yield StoreMetrics(label_of(path), False)
            continue
        # "unknown" is open and has no page of its own: what page there is, is another owner's.
        told = status.owner in {"running", "silent"}
        stats = {**status.stats, "status_age_seconds": status.age_seconds} if told else {}
        yield StoreMetrics(label_of(status.path), told or status.owner == "unknown", stats)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give 0 to {_HIGHEST_PORT:,}")
    return int(text)
