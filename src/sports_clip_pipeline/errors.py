"""The one exception whose message is meant for the person at the keyboard."""

from __future__ import annotations


class UserFacingError(Exception):
    """Something outside the code is wrong, and the reader of the message can mend it.

    The message is one line that names the file, the value found and the remedy. The command
    line prints it without a traceback and exits with status 1.

    >>> str(UserFacingError("data/a.zip", "ends after 12 bytes", "download it again"))
    'data/a.zip: ends after 12 bytes; download it again'
    """

    def __init__(self, where: object, what: str, remedy: str) -> None:
        self.where, self.what, self.remedy = str(where), what, remedy
        super().__init__(" ".join(f"{where}: {what}; {remedy}".split()))

    def __reduce__(self) -> tuple[type[UserFacingError], tuple[str, str, str]]:
        """Keep the three parts when the error crosses a process border."""
        return type(self), (self.where, self.what, self.remedy)


class EarlyExit(Exception):
    """A run has done what was asked of it before its last node; its message is told, no failure."""


class DryRun(EarlyExit):
    """A run that was only to tell what it would do has told it; nothing was done."""


class WorkerDone(EarlyExit):
    """A process of several has done its part of the work; the first one of them goes on alone."""
