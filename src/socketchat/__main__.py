"""`python -m socketchat`: the command."""

from socketchat.cli.main import main

if __name__ == "__main__":
    main()
