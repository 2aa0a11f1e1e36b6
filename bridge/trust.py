"""How much a worker believes of a reply. The settings have it, which every process of an app reads."""

from enum import Enum


class Trust(Enum):
    """The part of a reply that decides. `RECEIVER`: the `Bridge-Outcome` header only. `STATUS`: the status too, if the
    reply has no such header. `STATUS` must be set by hand, for a pool whose program cannot send the header."""

    RECEIVER = "receiver"
    STATUS = "status"
