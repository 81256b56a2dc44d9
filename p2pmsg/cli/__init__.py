"""The command line: parse, call, render. Holds no logic."""
