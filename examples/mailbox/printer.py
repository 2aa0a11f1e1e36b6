"""The printer: fetches one label after the other from the mailbox `labels`. A label is gone when it is printed. If
printing fails, or the printer is killed, the label returns to the mailbox.

python -m examples.mailbox.printer
"""

from collections.abc import Callable

from deferred_event_bridge import MailboxEmpty
from examples.mailbox.shop import create_app, events


def print_labels(print_label: Callable[[str], object], patience: float) -> int:
    """Print labels until none comes for `patience` seconds. Return how many were printed."""
    printed = 0
    while True:
        try:
            with events.mailbox("labels").get(timeout=patience) as message:
                print_label(message.body.decode())
        except MailboxEmpty:
            return printed
        printed += 1


if __name__ == "__main__":
    create_app()
    while True:
        print_labels(print, patience=60)
