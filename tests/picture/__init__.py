"""The README's picture of the console, from a real run; `__main__` has the command."""
