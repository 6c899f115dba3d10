"""The command line: options as data, help derived from them, and one-line errors."""
