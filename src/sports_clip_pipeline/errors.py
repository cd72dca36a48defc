"""Exceptions: errors that a user can mend, and runs that end early without an error."""


class UserFacingError(Exception):
    """An error that a user can mend, shown as one line without a traceback.

    The message names the file, the value found and the remedy.

    >>> str(UserFacingError("data/a.zip", "ends after 12 bytes", "download it again"))
    'data/a.zip: ends after 12 bytes; download it again'
    """

    def __init__(self, where: object, what: str, remedy: str) -> None:
        self.where, self.what, self.remedy = str(where), what, remedy
        super().__init__(" ".join(f"{where}: {what}; {remedy}".split()))

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        """Keep the three parts when the error crosses a process border."""
        return type(self), (self.where, self.what, self.remedy)


def first_line(error: Exception) -> str:
    """The first line of an error of another library, or its class."""
    return (str(error) or type(error).__name__).splitlines()[0][:300]


class EarlyExit(Exception):
    """A run ends before its last node without an error; its message is printed."""


class DryRun(EarlyExit):
    """A dry run has printed its plan."""


class WorkerDone(EarlyExit):
    """A process of torchrun has done its share; the main process goes on alone."""
