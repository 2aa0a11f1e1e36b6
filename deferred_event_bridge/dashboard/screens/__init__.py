"""The five screens: each makes one JSON document, which the page draws and `.json` returns."""
