"""The entry points of the programs. If a module hides a package that a program needs, the program names the module and
exits. Otherwise it runs."""

import sys
from importlib import import_module

from deferred_event_bridge.hidden_packages import hidden_packages

USAGE = 2
"""The value of `bridge.console.exit_codes.ExitCode.USAGE`, which cannot be imported if `bridge` is hidden."""


def bridge_worker() -> None:
    """Run `bridge-worker`."""
    _run("worker.cli", "app_adapter")


def bridge_pool() -> None:
    """Run `bridge-pool`."""
    _run("worker.pool_cli", "app_adapter")


def bridge_status() -> None:
    """Run `bridge-status`."""
    _run("worker.control.status_cli")


def bridge_doctor() -> None:
    """Run `bridge-doctor`."""
    _run("worker.doctor.cli")


def bridge_dlq() -> None:
    """Run `bridge-dlq`."""
    _run("dead_letter.cli")


def bridge_defer() -> None:
    """Run `bridge-defer`."""
    _run("app_adapter.cli")


def bridge_call() -> None:
    """Run `bridge-call`."""
    _run("app_adapter.call_cli")


def bridge_queues() -> None:
    """Run `bridge-queues`."""
    _run("worker.operating.queues_cli")


def bridge_events() -> None:
    """Run `bridge-events`."""
    _run("worker.history.cli")


def bridge_outbox() -> None:
    """Run `bridge-outbox`."""
    _run("app_adapter.outbox_cli")


def bridge_ingress() -> None:
    """Run `bridge-ingress`."""
    _run("app_adapter.ingress_cli")


def bridge_mailbox() -> None:
    """Run `bridge-mailbox`."""
    _run("app_adapter.mailbox_cli")


def bridge_move() -> None:
    """Run `bridge-move`."""
    _run("worker.moving.move_cli")


def bridge_relay() -> None:
    """Run `bridge-relay`."""
    _run("app_adapter.relay_cli")


def bridge_site() -> None:
    """Run `bridge-site`."""
    _run("worker.site.cli", "app_adapter")


def bridge_bench() -> None:
    """Run `bridge-bench`."""
    _run("worker.bench.cli", "app_adapter")


def bridge_web() -> None:
    """Run `bridge-web`."""
    _run("deferred_event_bridge.dashboard.web_cli", "app_adapter", "dead_letter", "worker")


def bridge_top() -> None:
    """Run `bridge-top`."""
    _run("deferred_event_bridge.dashboard.top_cli", "app_adapter", "dead_letter", "worker")


def _run(module: str, *needed: str) -> None:
    """Run the `main` of this module. `needed` are further packages that the processes of the program import."""
    hidden = hidden_packages(("bridge", module.partition(".")[0], *needed))
    for each in hidden:
        print(f"Error: {each}: {each.remedy}", file=sys.stderr)
    if hidden:
        sys.exit(USAGE)
    import_module(module).main()
