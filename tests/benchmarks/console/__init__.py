"""How the console of a real client does while very much arrives; `__main__` has the command."""
