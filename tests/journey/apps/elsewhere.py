"""An app whose config names another broker than the environment."""

from flask import Flask

from app_adapter import DeferredEvents

app = Flask(__name__)
app.config["BRIDGE_BROKER_URL"] = "sqlite:///elsewhere.db"
events = DeferredEvents(app)
