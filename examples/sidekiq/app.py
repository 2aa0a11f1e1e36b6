"""A shop whose older half is in Ruby. Invoices are still drawn there, by Sidekiq; mail is sent here since it moved to
Python. `mail.rb` and `invoices.rb` are the Ruby half.

Each in a terminal of its own, in this directory, with a Redis on this machine:

    flask --app app run
    bridge-worker app:app
    bridge-relay
    sidekiq -r ./invoices.rb

Then pay for an order. Its event becomes a job of Sidekiq, whose own job becomes an event:

    curl http://127.0.0.1:5000/orders/17/paid -d email=ann@example.org
    cat invoices.txt mails.txt

Or push a job from Ruby, without Sidekiq's own processes:

    ruby -r ./mail.rb -e 'MailJob.perform_async("bob@example.org", "Welcome")'
"""

from pathlib import Path

from flask import Flask, request

from deferred_event_bridge import DeferError, DeferredEvents, Event, defer

app = Flask(__name__)
events = DeferredEvents(app)


@app.post("/orders/<int:number>/paid")
def pay(number: int) -> tuple[dict[str, str], int]:
    """Let Ruby draw the invoice."""
    try:
        defer("invoice.due", [number, request.form["email"]], to="sidekiq:default", job_class="InvoiceJob")
    except DeferError as error:
        return {"error": str(error)}, 503
    return {}, 202


@events.on("mail.due")
def send_mail(event: Event) -> None:
    """Send a mail that Ruby asks for, with the arguments that it gave to `perform_async`."""
    address, subject = event.payload["args"]
    with Path("mails.txt").open("a") as mails:
        mails.write(f"to {address}: {subject}\n")
