"""systemd units for the processes of a site. Pure: text by the settings.

A target holds the services together, and they end in the order of their stages: the pool, the workers, the relay.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.config.settings import Settings
from bridge.config.sqlite_url import is_sqlite, path_in
from bridge.config.store_settings import outboxes
from worker.site.members import Member
from worker.site.process import LATE_SECONDS, WATCHDOG_SECONDS

_PLAIN = re.compile(r"[A-Za-z0-9_@:/.,+=-]+")

_FORGOTTEN = tuple(Path(each) for each in ("/run", "/var/run"))
"""A reboot empties these directories. systemd starts a service only if the paths of its `ReadWritePaths=` exist."""

_MAKE = 'test -d "$1" || install -d -o "$2" -m "$3" "$1"'

_SANDBOX = """\
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
CapabilityBoundingSet=
"""


@dataclass(frozen=True, slots=True)
class Host:
    """Where and as whom the services run: the user, the working directory, and the directory of the programs."""

    user: str
    directory: Path
    programs: Path


def units_of(settings: Settings, members: Sequence[Member], host: Host) -> Mapping[str, str]:
    """Return the text of each unit, by its file name."""
    prefix = settings.values.namespace
    names = {member.name: f"{prefix}-{member.name}.service" for member in members}
    units = {f"{prefix}.target": _target(prefix, list(names.values()))}
    for member in members:
        after = [names[other.name] for other in members if other.stage > member.stage]
        units[names[member.name]] = _service(settings, member, host, after)
    return units


def _target(prefix: str, services: Sequence[str]) -> str:
    return (
        f"[Unit]\nDescription=All processes of the deferred-event bridge '{prefix}'\nWants={' '.join(services)}\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )


def _service(settings: Settings, member: Member, host: Host, after: Sequence[str]) -> str:
    values = settings.values
    own = f"bridge-{values.namespace}"
    lines = [
        "[Unit]",
        f"Description={member.program} of '{values.namespace}'",
        f"PartOf={values.namespace}.target",
        "Wants=network-online.target",
        f"After={' '.join(['network-online.target', *after])}",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"WatchdogSec={WATCHDOG_SECONDS:g}",
        f"User={host.user}",
        f"WorkingDirectory={_escaped(str(host.directory))}",
        f"ExecStart={' '.join(map(_word, (str(host.programs / member.program), *member.arguments)))}",
        *(["ExecReload=/bin/kill -HUP $MAINPID"] if member.reloads else []),
        "KillMode=mixed",
        f"TimeoutStartSec={member.boot + LATE_SECONDS:g}",
        f"TimeoutStopSec={member.grace + LATE_SECONDS:g}",
        "Restart=always",
        "RestartSec=1",
        "RestartPreventExitStatus=2",
        "# A child that the kernel ends for its memory is replaced; the others go on.",
        "OOMPolicy=continue",
        f"CacheDirectory={own}",
        f"Environment=XDG_CACHE_HOME=%C/{own}",
        *_control(settings, own, host),
        *(line for path in sorted(set(_written(settings, member))) for line in _writable(path, host, mode="0755")),
        _SANDBOX.format(home=_home(host)).rstrip(),
        "",
        "[Install]",
        f"WantedBy={values.namespace}.target",
    ]
    return "\n".join(lines) + "\n"


def _control(settings: Settings, own: str, host: Host) -> Iterator[str]:
    """Yield the lines about the control directory, which all services share."""
    if settings.values.control_directory is not None:
        yield from _writable(Path(settings.values.control_directory), host, mode="0700")
        return
    yield f"RuntimeDirectory={own}"
    yield "RuntimeDirectoryMode=0700"
    yield "RuntimeDirectoryPreserve=yes"
    yield f"Environment=BRIDGE_CONTROL_DIRECTORY=%t/{own}"


def _writable(directory: Path, host: Host, mode: str) -> Iterator[str]:
    """Yield the lines that let a service write into a directory, and make it with this mode after a reboot."""
    if any(each in directory.parents for each in _FORGOTTEN):
        command = ("/bin/sh", "-c", _MAKE, "sh", str(directory), host.user, mode)
        yield f"ExecStartPre=+{' '.join(map(_word, command))}"
    yield f"ReadWritePaths={_quoted(str(directory))}"


def _written(settings: Settings, member: Member) -> Iterator[Path]:
    """Yield the directories in which the process makes files."""
    values = settings.values
    if is_sqlite(values.broker_url):
        yield Path(path_in(values.broker_url)).parent
    elif values.publish == "spool":
        yield Path(values.spool).parent
    if member.program == "bridge-relay":
        databases = outboxes(values.stores).values()
        yield from (Path(path_in(store.url)).parent for store in databases if is_sqlite(store.url))
    if member.program == "bridge-pool" and values.pool is not None and values.pool.bind.startswith("unix:"):
        yield Path(values.pool.bind.removeprefix("unix:")).parent


def _home(host: Host) -> str:
    """Return how much of home directories a service may see."""
    homes = (Path("/home"), Path("/root"))
    is_there = any(path.is_relative_to(home) for path in (host.directory, host.programs) for home in homes)
    return "read-only" if is_there else "yes"


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """Return a word of a command line as systemd reads it."""
    return _quoted(text.replace("$", "$$"))


def _quoted(text: str) -> str:
    """Return one of the values of a key as systemd reads it."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{_escaped(escaped)}"'
