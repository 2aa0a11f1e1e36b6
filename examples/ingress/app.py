"""An app whose events come over HTTP, from programs that do not use this library; `send.sh` is one of them.

Make a token, and add the table that is printed to `bridge.toml`:

    bridge-ingress token demo --events 'word.*' --right defer --right call

Then, each in a terminal of its own, in this directory:

    flask --app app run
    bridge-worker app:app

And send:

    TOKEN=… URL=http://127.0.0.1:5000/bridge ./send.sh
    cat words.txt
"""

from pathlib import Path

from flask import Flask

from deferred_event_bridge import DeferredEvents, Event
from deferred_event_bridge.ingress import blueprint

app = Flask(__name__)
events = DeferredEvents(app)
app.register_blueprint(blueprint(), url_prefix="/bridge")


@events.on("word.said")
def note(event: Event) -> None:
    """Note the word, and who said it."""
    with Path("words.txt").open("a") as words:
        words.write(f"{event.payload['word']} ({event.source})\n")


@events.on("word.reversed")
def reverse(event: Event) -> str:
    """Answer with the word backwards; of an event that nobody waits for, the answer is dropped."""
    return str(event.payload["word"])[::-1]
