"""Groups: which tools of a module a worker offers, when its pool has workers of several kinds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from snakepit._text import cut

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_NAMED = 8


def check_name(name: object) -> None:
    """What @snakepit.tool takes as group=."""
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise TypeError(
            "@snakepit.tool: group must be a name of 1 to 32 letters, digits, '_' and '-' that begins with a letter, "
            f"not {name!r}"
        )


@dataclass(frozen=True)
class Groups:
    """The groups of a pool, as one of its workers sees them."""

    mine: str = ""  # empty: the worker is one of the pool's own, which have no name
    named: tuple[str, ...] = ()  # pool_options::groups; empty: every worker has every tool

    @property
    def _is_own(self) -> bool:
        return self.mine not in self.named

    def has(self, group: str | None) -> bool:
        """Whether a tool that says so is to be offered here."""
        if not self.named:
            return True
        return group == self.mine or (group is None and self._is_own)

    def mistake(self, module: str, said: Mapping[str, str | None]) -> str | None:
        """What is wrong with the tools of a module, by their names; None: nothing."""
        if not self.named:
            return None
        known = (*((self.mine,) if self._is_own and self.mine else ()), *self.named)
        if self._is_own:
            strangers = {name: group for name, group in said.items() if group is not None and group not in known}
            if strangers:
                return f"{_list(strangers, known)}; the pool has: {', '.join(known)}"
        if any(self.has(group) for group in said.values()):
            return None
        if not self._is_own:
            return f"no tool of {module} belongs to the group {self.mine!r}: say @snakepit.tool(group={self.mine!r})"
        return (
            f"no tool of {module} belongs to the pool's own workers, since each names a group of pool_options::groups; "
            "leave group= out for some, or name one of the groups pool_options::group instead"
        )


def _list(strangers: Mapping[str, str | None], known: tuple[str, ...]) -> str:
    parts = []
    for name, group in list(strangers.items())[:_NAMED]:
        near = get_close_matches(str(group), known, n=1)
        parts.append(f"tool {cut(name, 64)!r} has group={group!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    more = len(strangers) - _NAMED
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "") + ", a group that there is not"
