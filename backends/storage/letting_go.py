"""Let go of what calls held that have failed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FrameType

#: Frames that may be waiting to go on: to clear one ends it. Errors are kept and raised again
#: elsewhere, and their tracebacks lead to such frames of whoever uses the store.
_WAITING = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def let_go(error: BaseException, handled: BaseException | None) -> None:
    """Forget the variables of the calls that *error* came through, but not where they were.

    They hold the parts of an object that were being sent, megabytes each; and the clients keep
    their errors in such variables, so that nobody but the garbage collector would free the one or
    the other, several attempts too late.

    Args:
        error: What a call of ours has raised, just caught by the context manager around it.
        handled: What our caller was handling when it made that call: no affair of ours.
    """
    if error.__traceback__ is not None:
        # Since Python 3.12 the frame of the context manager that has caught it leads on to the
        # frame that runs it, and that back to the error: a circle.
        error.__traceback__ = error.__traceback__.tb_next
    left, seen = [error], {id(handled)}
    while left:
        each = left.pop()
        seen.add(id(each))
        for frame in _frames(each):
            _clear(frame)
        left += [other for other in _behind(each) if id(other) not in seen]


def _frames(error: BaseException) -> Iterator[FrameType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _clear(frame: FrameType | None) -> None:
    """Clear it and its callers up to those that still run.

    A caller that was given the error as a value, and raised it later, is in no traceback.
    """
    try:
        while frame is not None:
            if not frame.f_code.co_flags & _WAITING:
                frame.clear()
            frame = frame.f_back
    except RuntimeError:
        return


def _behind(error: BaseException) -> list[BaseException]:
    """The errors that it was made of; some clients tell them in no other way than attributes."""
    told = (error.__cause__, error.__context__, *error.args, *vars(error).values())
    return [each for each in told if isinstance(each, BaseException)]
