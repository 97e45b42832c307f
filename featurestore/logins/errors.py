"""Errors about logins. Messages state what to do and never hold a password, a code or a name."""


class LoginError(Exception):
    """A login or a second factor that could not be checked; nothing was written."""


class PasswordChecksBusy(LoginError):
    """A password that was not checked: too many wait already, or the checking process did not answer."""


class SecondFactorUnreadable(LoginError):
    """A stored second factor that another RAPPORT_SECRET_KEY encrypted."""
