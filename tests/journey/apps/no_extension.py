"""An app that has forgotten its extension."""

from flask import Flask

app = Flask(__name__)
