"""An app without the extension `DeferredEvents`."""

from flask import Flask

app = Flask(__name__)
