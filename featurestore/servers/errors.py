"""Error of a setting that names a server in a form which some client of it would not honour."""


class ServerNameError(ValueError):
    """A server's name that is refused; the message states the form to use, and holds no password."""
