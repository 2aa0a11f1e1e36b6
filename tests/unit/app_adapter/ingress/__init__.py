"""Tests of `app_adapter/ingress`."""
