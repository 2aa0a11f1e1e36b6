"""The app of the site that the tests of the page look at: a shop whose mail provider is away."""

import smtplib
import time
from pathlib import Path

from flask import Flask

from app_adapter import DeferredEvents, Event

app = Flask(__name__)
events = DeferredEvents(app)


@events.on("order.paid")
def paid(event: Event) -> None:
    """Succeed."""


@events.on("mail.welcome")
def welcome(event: Event) -> None:
    """Fail, until the file `provider-is-back` exists."""
    if not Path("provider-is-back").exists():
        raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed: the provider is away")


@events.on("report.monthly")
def report(event: Event) -> None:
    """Run until the file `report-may-end` exists."""
    event.progress(3, 10, "adding up the orders")
    while not Path("report-may-end").exists():
        time.sleep(0.05)
