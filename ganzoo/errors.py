"""Errors that a user can mend: shown as one sentence, without a traceback (unless `--debug`)."""


class GanzooError(Exception):
    """Something failed: a file, a number, a disk. The command exits with 1."""

    exit_code = 1


class UsageError(GanzooError):
    """What was asked cannot be asked: an unknown name, a wrong option, a wrong value. Exits with 2."""

    exit_code = 2


class Mismatch(UsageError):
    """The parts of a run do not fit together."""


class SizeError(UsageError):
    """A network cannot make samples of this shape. The message names the shapes that work."""


class DataError(GanzooError):
    """A data set is missing, unreadable or not what it should be."""


class RunError(GanzooError):
    """A run folder is not there, is another run's, or cannot be written."""


class CheckpointError(RunError):
    """A checkpoint is not whole, or is not this run's."""


class NonFiniteError(GanzooError):
    """A loss, a penalty or a gradient became infinite or not a number. The update was not applied."""


class KernelError(GanzooError):
    """Compiled operators cannot be had: there is no compiler, a build failed, or a library does not load."""
