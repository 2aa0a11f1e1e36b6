"""The pool behind a web server: the listening socket and the children that share it."""
