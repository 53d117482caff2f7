"""The command line: verbs, flags, console, signals, environment."""
