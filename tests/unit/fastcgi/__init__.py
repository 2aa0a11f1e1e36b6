"""FastCGI: tests of `bridge.fastcgi`, and the application's side that they need."""
