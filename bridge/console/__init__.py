"""The parts that all programs share: options, exit codes, printable text, tables, signals, and the logging setup."""
