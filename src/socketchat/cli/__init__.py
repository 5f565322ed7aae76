"""The command: options and exit codes, the console, the mode for pipes, rendering.

Only this package imports click and prompt_toolkit, and only `console*.py` imports the latter.
Nothing below imports this package.
"""
