"""Calls that the host takes back before they have begun."""

from __future__ import annotations

from collections.abc import Sequence

from snakepit._replies import Replies
from snakepit.v1 import work_pb2

RECALLED = work_pb2.Failure(kind=work_pb2.Failure.RECALLED)


class Recalls:
    """Who answers for them: the control thread, unless the main thread comes to the call at that moment.

    Whoever takes a call out of `_asked` answers. The control thread puts it into `_gone` before: from the time that it
    was asked for the main thread finds it in one of them.
    """

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._asked: dict[int, bool] = {}
        self._gone: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._asked or self._gone)

    # The control thread's.

    def ask(self, ids: Sequence[int]) -> list[int]:
        """To be called before the number of the last call that was begun is read, and `answer` afterwards with what
        this returns: those that were not given back before."""
        new = [call_id for call_id in ids if call_id not in self._gone]
        self._asked.update(dict.fromkeys(new, True))
        return new

    def answer(self, ids: Sequence[int], begun_id: int) -> None:
        """Give back those that have not begun; the rest go on."""
        for call_id in ids:
            if call_id <= begun_id:
                self._asked.pop(call_id, None)
                continue
            self._gone.add(call_id)
            if self._asked.pop(call_id, False):
                self._replies.add((call_id, RECALLED, 0))
            else:
                self._gone.discard(call_id)

    # The main thread's.

    def take(self, call_id: int) -> bool | None:
        """Whether a call whose turn has come is to be passed over, and then be answered for. None: it is to be run."""
        if self._asked.pop(call_id, False):
            return True
        if call_id in self._gone:
            self._gone.discard(call_id)
            return False
        return None
