"""How fast a room is, socketchat's beside those of other servers: see `__main__`."""
