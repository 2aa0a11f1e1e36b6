"""Tests of `bridge.fastcgi`, and the application's side of FastCGI that they need."""
