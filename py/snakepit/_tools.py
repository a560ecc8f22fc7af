"""Tools: marking them, finding them in a module, describing them, checking their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf
from types import ModuleType
from typing import Any, Literal, NamedTuple, TypeVar, overload

from snakepit._batch import DEFAULT_BATCH, BatchTerms, check_terms, one_at_a_time
from snakepit._groups import Groups, check_name
from snakepit._loops import run_to_end
from snakepit._protocol import (
    MAX_ANNOTATION_BYTES,
    MAX_DEFAULT_BYTES,
    MAX_DOC_BYTES,
    MAX_PARAMETER_NAME_BYTES,
    MAX_PARAMETERS,
    MAX_TOOL_NAME_BYTES,
    MAX_TOOLS,
)
from snakepit._text import cut

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__snakepit_tool__"
_NAMED_TOOLS = 8


@dataclass(frozen=True)
class _Mark:
    name: str | None = None
    idempotent: bool = False
    thread_safe: bool = False
    main_thread: bool = False
    batch: bool = False
    max_batch: int = DEFAULT_BATCH
    max_wait_ms: float = 0
    input: str | None = None
    group: str | None = None


_NO_MARK = _Mark()
_NO_GROUPS = Groups()


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    name: str | None = None,
    idempotent: bool = False,
    thread_safe: bool = False,
    main_thread: bool = False,
    batch: bool = False,
    max_batch: int = DEFAULT_BATCH,
    max_wait_ms: float = 0,
    input: str | None = None,
    group: str | None = None,
) -> Callable[[F], F]: ...
def tool(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    idempotent: bool = False,
    thread_safe: bool = False,
    main_thread: bool = False,
    batch: bool = False,
    max_batch: int = DEFAULT_BATCH,
    max_wait_ms: float = 0,
    input: str | None = None,
    group: str | None = None,
) -> F | Callable[[F], F]:
    """Offer a function, or a method of an Adapter, to the callers of the pool.

    The function itself stays as it is and can be called directly. Its docstring becomes the tool's description. What a
    generator (also an async one) yields goes to its caller at once, as a stream.

    name: what callers say; the function's own name when not given.
    idempotent: to run it twice does no harm. A call that was running when its worker died is then run again elsewhere,
    once, and within the pool's budget for that, before its caller hears of it.
    thread_safe: may run in several threads at once, beside itself and the others: what a pool with a profile other than
    `process` asks of its tools, except of `async def` ones (with `yield` or without) in the profile `async`.
    `__snakepit_thread_safe__ = True` in the module says it of all its tools.
    main_thread: runs on the worker's main thread, whatever the profile, and so never beside another such tool; in the
    profile `async` that is the thread of the event loop. A call that waits for that thread has not begun, and goes to
    another worker whose main thread is idle.
    batch: callers make single calls with one argument; the function gets a list of the arguments of the calls that are
    there, and returns a list of the same length. What it raises fails all of them; an exception that is an item of the
    returned list fails that one call. Calls that follow each other at one worker are a batch, so a pool needs at least
    `max_batch` for `calls_per_worker`. In the profile `async` calls of an `async def` batch tool are, whatever comes
    between them, and several lists may be awaited at once; for other batch tools there, and for all in `thread`, each
    call has a list of its own. One that is cancelled while the batch runs disturbs nobody: the function is interrupted
    when nobody wants any of them.
    snakepit.current_batch() describes the calls; sessions and host tools are not for batches.
    max_batch: most calls in a list, 1 to 4,096.
    max_wait_ms: how long a list that is not full waits for more calls, 0 to 60,000; 0: it takes those that have come.
    input: the parameter that gets an iterator over what the caller sends while the tool runs. It waits for the next
    item, and ends when the caller finishes. It is an async iterator too: in `async def` tools `async for` lets the
    other tasks of the loop go on meanwhile, and in the profile `async` only that will do on the loop. Callers do not
    give this parameter.
    group: where it runs in a pool that has groups of workers (pool_options::groups): there, and nowhere else. Without
    it the pool's own workers run it. An Adapter is made where one of its tools is offered, or if it has none. In a pool
    without groups every worker has every tool.
    """
    mark = _Mark(name, idempotent, thread_safe, main_thread, batch, max_batch, max_wait_ms, input, group)
    if function is None:
        return lambda decorated: _mark(decorated, mark)
    if isinstance(function, str):
        raise TypeError(f"use @snakepit.tool(name={function!r}): the name is a keyword argument")
    return _mark(function, mark)


def _mark(function: F, mark: _Mark) -> F:
    target: Any = getattr(function, "__func__", function)  # inside a staticmethod or classmethod
    if isinstance(target, type) or not callable(target):
        raise TypeError(f"@snakepit.tool goes on functions, not on {target!r}")
    if mark.name is not None and not isinstance(mark.name, str):
        raise TypeError(f"@snakepit.tool: name must be a str, not {mark.name!r}")
    for flag in ("idempotent", "thread_safe", "main_thread"):
        if not isinstance(getattr(mark, flag), bool):
            raise TypeError(f"@snakepit.tool: {flag} must be True or False, not {getattr(mark, flag)!r}")
    check_terms(mark.batch, mark.max_batch, mark.max_wait_ms)
    check_name(mark.group)
    if mark.input is not None and not isinstance(mark.input, str):
        raise TypeError(f"@snakepit.tool: input must be the name of a parameter, not {mark.input!r}")
    try:
        setattr(target, _MARK, mark)
    except (AttributeError, TypeError):  # one that is written in C
        raise TypeError(f"@snakepit.tool cannot mark {target!r}: wrap it in a function of your own") from None
    return function


def _mark_of(candidate: object) -> _Mark | None:
    # A class is no tool, whatever it inherits; and some objects answer to any attribute at all.
    if isinstance(candidate, type):
        return None
    target = candidate.__func__ if isinstance(candidate, (staticmethod, classmethod)) else candidate
    try:
        mark = vars(target).get(_MARK)
    except TypeError:
        return None
    return mark if isinstance(mark, _Mark) else None


class Adapter:
    """Base of classes whose methods are tools that share state.

    Each worker makes one instance, without arguments, of every adapter class that the module defines (base classes
    of others excepted).
    """

    def setup(self) -> None:
        """Called once before the worker takes calls. What it raises ends the start.

        This one and the others may be `async def`: they are awaited on the loop on which the async tools of the same
        thread run.
        """

    def setup_thread(self) -> None:
        """Called once in each thread that runs tools, before its first call; in the main thread after setup().

        For what one thread cannot share with others: connections, buffers, what is kept in threading.local(). What it
        raises ends the start; in the profile `async`, where threads come when they are wanted, it fails the call that
        wanted one.
        """

    def teardown_thread(self) -> None:
        """Called in such a thread when the worker ends in an orderly way; in the main thread before teardown()."""

    def teardown(self) -> None:
        """Called once when the worker ends in an orderly way; not when it is killed or loses its host.

        Also when the setup() of a later adapter has failed, though not when its own has. It has as long as the host
        waits for the worker's end before it sends SIGTERM and then SIGKILL: at least the pool's stop_grace; after a
        setup() that failed, one second.
        """


class ToolError(Exception):
    """The tools of a module cannot be offered; the text says why."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a tool. `kind` has the numbers of Parameter.Kind in control.proto."""

    name: str
    kind: int
    annotation: str
    has_default: bool
    default_text: str

    @property
    def kind_name(self) -> str:
        """As inspect calls it, in small letters."""
        return next(kind.name.lower() for kind, number in _KINDS.items() if number == self.kind)


_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: 1,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: 2,
    inspect.Parameter.VAR_POSITIONAL: 3,
    inspect.Parameter.KEYWORD_ONLY: 4,
    inspect.Parameter.VAR_KEYWORD: 5,
}


class InputParameter(NamedTuple):
    """The parameter that gets what the caller sends."""

    name: str
    position: int | None  # None: it can only be given by name


class Tool:
    """A function that callers reach by name. What the runner needs for every call is computed beforehand."""

    __slots__ = (
        "_signature",
        "async_function",
        "batch",
        "coroutine_function",
        "cost",
        "doc",
        "function",
        "group",
        "idempotent",
        "input",
        "is_async",
        "keywords",
        "main_thread",
        "max_positional",
        "min_positional",
        "name",
        "parameters",
        "required",
        "returns",
        "signature_text",
        "takes_any_keyword",
        "takes_keywords",
        "thread_safe",
        "where",
        "yields",
    )

    def __init__(self, function: Callable[..., Any], name: str, where: str, mark: _Mark = _NO_MARK) -> None:
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError) as error:
            raise ToolError(f"tool {name!r} ({where}) has no signature that can be read: {error}") from None
        self.input = _input_of(signature, mark.input, name, where)
        if self.input is not None:
            others = [p for p in signature.parameters.values() if p.name != self.input.name]
            signature = signature.replace(parameters=others)
        parameters = list(signature.parameters.values())
        self.function = run_to_end(function)
        self.coroutine_function = function if inspect.iscoroutinefunction(function) else None
        self.yields: Literal["", "sync", "async"] = ""
        if inspect.isgeneratorfunction(function):
            self.yields = "sync"
        elif inspect.isasyncgenfunction(function):
            self.yields = "async"
        self.async_function = function
        self.is_async = self.coroutine_function is not None or self.yields == "async"
        self.name = name
        self.where = where
        self.idempotent = mark.idempotent
        self.group = mark.group
        self.thread_safe = mark.thread_safe
        self.main_thread = mark.main_thread
        self.batch: BatchTerms | None = None
        self.doc = cut(inspect.getdoc(function) or "", MAX_DOC_BYTES)
        self.parameters = tuple(_describe(parameter) for parameter in parameters)
        self.returns = _annotation_text(signature.return_annotation, signature.empty)
        self.signature_text = f"{name}{_signature_text(self.parameters, self.returns)}"
        self.cost = -1.0  # seconds that a call takes, in the mean; negative: never run
        self._signature = signature

        by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        by_name = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        takes_any_position = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        needs_name = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
        needs_position = any(p.kind is p.POSITIONAL_ONLY and p.default is p.empty for p in parameters)
        # min > max when positions alone can never do
        self.min_positional: float = inf if needs_name else sum(p.default is p.empty for p in by_position)
        self.max_positional: float = inf if takes_any_position else len(by_position)
        self.takes_any_keyword = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self.takes_keywords = not needs_position
        self.keywords = frozenset(p.name for p in by_name)
        self.required = frozenset(p.name for p in by_name if p.default is p.empty)

    @property
    def awaits_batches(self) -> bool:
        """Whether it can await a list where calls share an event loop."""
        return self.batch is not None and self.coroutine_function is not None

    @property
    def flags(self) -> list[str]:
        """What the host is told of it; see ToolSpec in control.proto."""
        says = {
            "idempotent": self.idempotent,
            "thread_safe": self.thread_safe,
            "main_thread": self.main_thread,
            "async": self.is_async,
            "stream": self.yields != "",
            f"input:{self.input.name if self.input else ''}": self.input is not None,
            f"group:{self.group}": self.group is not None,
        }
        flags = [flag for flag, is_so in says.items() if is_so]
        if self.batch is not None:
            flags.append(f"batch:{self.batch.max_batch}")
        return flags

    def accepts(self, arguments: object) -> bool:
        """Whether these arguments, as they have come, are right. The runners have this in line."""
        if isinstance(arguments, dict):
            return self.accepts_keywords(arguments)
        return self.accepts_positional(len(arguments) if isinstance(arguments, list) else 1)

    def accepts_positional(self, count: int) -> bool:
        """Whether `count` positional arguments and nothing else are right."""
        return self.min_positional <= count <= self.max_positional

    def accepts_keywords(self, arguments: dict[str, Any]) -> bool:
        """Whether these keyword arguments and nothing else are right."""
        names = arguments.keys()
        return self.takes_keywords and names >= self.required and (self.takes_any_keyword or names <= self.keywords)

    def explain(self, arguments: object) -> str:
        """What is wrong with arguments that were not accepted, with every mistake named."""
        if isinstance(arguments, dict):
            problems = self._explain_keywords(arguments)
        else:
            problems = self._explain_positional(len(arguments) if isinstance(arguments, list) else 1)
        return f"{'; '.join(problems)}; the tool is {self.signature_text}"

    def _explain_positional(self, count: int) -> Iterator[str]:
        if count > self.max_positional:
            yield f"too many arguments: {count} given, at most {self.max_positional} taken"
        for position, parameter in enumerate(self._signature.parameters.values()):
            if parameter.default is not parameter.empty:
                continue
            if parameter.kind is parameter.KEYWORD_ONLY:
                yield f"missing argument {parameter.name!r}, which can only be given by name"
            elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) and position >= count:
                yield f"missing argument {parameter.name!r}"

    def _explain_keywords(self, arguments: dict[str, Any]) -> Iterator[str]:
        if not self.takes_any_keyword:
            for name in arguments:
                if name not in self.keywords:
                    yield self._explain_unknown(name)
        for parameter in self._signature.parameters.values():
            if parameter.default is not parameter.empty:
                continue
            if parameter.kind is parameter.POSITIONAL_ONLY:
                yield f"argument {parameter.name!r} can only be given by position"
            elif parameter.name in self.required and parameter.name not in arguments:
                yield f"missing argument {parameter.name!r}"

    def _explain_unknown(self, name: str) -> str:
        shown = cut(name, MAX_TOOL_NAME_BYTES)
        parameter = self._signature.parameters.get(name)
        if parameter is not None and parameter.kind is parameter.POSITIONAL_ONLY:
            return f"argument {shown!r} can only be given by position"
        near = get_close_matches(shown, self.keywords, n=1)
        return f"unknown argument {shown!r}" + (f" (did you mean {near[0]!r}?)" if near else "")


def _input_of(signature: inspect.Signature, name: str | None, tool_name: str, where: str) -> InputParameter | None:
    if name is None:
        return None
    parameter = signature.parameters.get(name)
    if parameter is None or parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise ToolError(
            f"tool {tool_name!r} ({where}) has input={cut(name, MAX_PARAMETER_NAME_BYTES)!r}, and no such parameter "
            "that can be given by name"
        )
    if parameter.kind is parameter.KEYWORD_ONLY:
        return InputParameter(name, None)
    return InputParameter(name, list(signature.parameters).index(name))


def _annotation_text(annotation: object, empty: object) -> str:
    if annotation is empty:
        return ""
    try:
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    except Exception as error:  # a user's __repr__ may do anything
        text = _without_repr(annotation, error)
    return cut(text, MAX_ANNOTATION_BYTES)


def _without_repr(thing: object, error: Exception) -> str:
    return f"<{type(thing).__name__}: repr() raised {type(error).__name__}>"


def _describe(parameter: inspect.Parameter) -> Parameter:
    has_default = parameter.default is not parameter.empty
    default_text = ""
    if has_default:
        try:
            default_text = repr(parameter.default)
        except Exception as error:  # a user's __repr__ may do anything
            default_text = _without_repr(parameter.default, error)
    return Parameter(
        name=parameter.name,
        kind=_KINDS[parameter.kind],
        annotation=_annotation_text(parameter.annotation, parameter.empty),
        has_default=has_default,
        default_text=cut(default_text, MAX_DEFAULT_BYTES),
    )


def _signature_text(parameters: tuple[Parameter, ...], returns: str) -> str:
    """As inspect.Signature prints it, but from our own texts, whose sizes are bounded."""
    parts: list[str] = []
    star_seen = False
    for index, parameter in enumerate(parameters):
        kind = parameter.kind
        if kind == 4 and not star_seen:
            parts.append("*")
        star_seen = star_seen or kind >= 3
        text = {3: "*", 5: "**"}.get(kind, "") + parameter.name
        if parameter.annotation:
            text += f": {parameter.annotation}"
        if parameter.has_default:
            text += f" = {parameter.default_text}" if parameter.annotation else f"={parameter.default_text}"
        parts.append(text)
        if kind == 1 and (index + 1 == len(parameters) or parameters[index + 1].kind != 1):
            parts.append("/")
    return f"({', '.join(parts)})" + (f" -> {returns}" if returns else "")


class Toolbox:
    """The tools of one module and the adapters behind them."""

    def __init__(self, module: ModuleType, groups: Groups = _NO_GROUPS) -> None:
        """Find the tools, make the adapters. Raises ToolError, or what an adapter's constructor raises."""
        self._started: list[Adapter] = []
        self._adapters: list[Adapter] = []
        self._groups = groups
        self._module = module.__name__
        everywhere: list[_Found] = []
        for attribute, value in _offered_by(module):
            if isinstance(value, type):
                methods = list(_methods_of(value))
                everywhere.extend(methods)
                if not methods or any(groups.has(one.mark.group) for one in methods):
                    adapter = value()
                    self._adapters.append(adapter)
                    for method in methods:
                        method.bind(adapter)
            else:
                name = _name_of(value, getattr(value, "__name__", attribute))
                where = f"{module.__name__}.{attribute}"
                everywhere.append(_Found(attribute, name, where, _mark_of(value) or _NO_MARK, value))
        _check_names(everywhere)
        self._said = {one.name: one.mark.group for one in everywhere}
        here = [one for one in everywhere if groups.has(one.mark.group) and callable(one.function)]
        self.tools = tuple(_make(one.function, one.name, one.where, one.mark) for one in here)
        if getattr(module, "__snakepit_thread_safe__", False) is True:
            for one in self.tools:
                one.thread_safe = True
        self.by_name = {one.name: one for one in self.tools}
        if len(self.tools) > MAX_TOOLS:
            raise ToolError(f"module {module.__name__!r} has {len(self.tools)} tools; {MAX_TOOLS} are allowed")
        if not everywhere or not (self.tools or groups.named):
            raise ToolError(f"module {module.__name__!r} defines no tools: decorate a function with @snakepit.tool")

    def check_for(self, profile: str) -> None:
        """Raise ToolError when the pool's groups are not those of the tools, or tools cannot run in this profile."""
        mistake = self._groups.mistake(self._module, self._said)
        if mistake is not None:
            raise ToolError(mistake)
        if profile == "process":
            return
        silent = [
            one.name
            for one in self.tools
            if not (one.thread_safe or one.main_thread or (one.is_async and profile == "async"))
        ]
        if silent:
            more = len(silent) - _NAMED_TOOLS
            names = ", ".join(silent[:_NAMED_TOOLS]) + (f" and {more} more" if more > 0 else "")
            raise ToolError(
                f"the profile {profile} runs these tools in several threads at once, and they do not say that they can "
                f"do that: {names}. @snakepit.tool(thread_safe=True) says it of one tool, __snakepit_thread_safe__ = "
                f"True in {self._module} of all; @snakepit.tool(main_thread=True) keeps one on the main thread"
            )

    def setup(self) -> None:
        """Call every adapter's setup(), in the order of definition, then setup_thread() for the main thread."""
        for adapter in self._adapters:
            run_to_end(adapter.setup)()
            self._started.append(adapter)
        self.setup_thread()

    def setup_thread(self) -> None:
        """In each thread that runs tools."""
        for adapter in self._adapters:
            run_to_end(adapter.setup_thread)()

    def teardown_thread(self) -> Iterator[BaseException]:
        """In a thread that was set up; yield what they raise."""
        for adapter in reversed(self._adapters):
            try:
                run_to_end(adapter.teardown_thread)()
            except BaseException as error:
                yield error

    def for_warmup(self, name: str) -> Tool:
        """The tool that a pool wants called before the worker takes calls. Raises ToolError when there is none such."""
        wanted = self.by_name.get(name)
        shown = cut(name, MAX_TOOL_NAME_BYTES)
        if wanted is None:
            near = get_close_matches(shown, self.by_name, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else f"there are: {', '.join(sorted(self.by_name)[:8])}"
            raise ToolError(f"warmup is {shown!r}, and there is no such tool; {hint}")
        if wanted.yields or wanted.input is not None:
            raise ToolError(f"warmup is {shown!r}, which yields items or takes some; a plain tool is needed")
        if not wanted.accepts_positional(0):
            raise ToolError(f"warmup is {shown!r}, which is called without arguments: {wanted.explain([])}")
        return wanted

    def teardown(self) -> Iterator[BaseException]:
        """Call teardown() of every adapter that was set up, last first; yield what they raise."""
        while self._started:
            try:
                run_to_end(self._started.pop().teardown)()
            except BaseException as error:  # SystemExit too: the others still get their turn
                yield error


def _offered_by(module: ModuleType) -> list[tuple[str, Any]]:
    """Marked functions and adapter classes of the module, in the order of definition."""
    exported = getattr(module, "__all__", ())
    found: dict[int, tuple[str, Any]] = {}  # by identity: a second name for the same thing is no second tool
    for attribute, value in vars(module).items():
        if isinstance(value, type):
            own = getattr(value, "__module__", None) == module.__name__ or attribute in exported
            offered = issubclass(value, Adapter) and value is not Adapter and own and not inspect.isabstract(value)
        else:
            offered = _mark_of(value) is not None
        if offered:
            found.setdefault(id(value), (attribute, value))
    classes = [value for _, value in found.values() if isinstance(value, type)]
    return [(attribute, value) for attribute, value in found.values() if not _is_base(value, classes)]


def _is_base(value: object, classes: list[type]) -> bool:
    """Whether another adapter derives from this one, and so has its tools too."""
    return isinstance(value, type) and any(other is not value and issubclass(other, value) for other in classes)


@dataclass
class _Found:
    """A tool of a module, here or in another group."""

    attribute: str
    name: str
    where: str
    mark: _Mark
    function: Any = None  # None: a method of an adapter that has not been made

    def bind(self, adapter: Adapter) -> None:
        """The method of this one."""
        self.function = getattr(adapter, self.attribute)


def _methods_of(cls: type[Adapter]) -> Iterator[_Found]:
    marked: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        for attribute, value in vars(base).items():
            if _mark_of(value) is not None:  # an override without a mark of its own keeps that of its base
                marked[attribute] = value
    for attribute, value in marked.items():
        if callable(getattr(cls, attribute)):
            where = f"{cls.__module__}.{cls.__qualname__}.{attribute}"
            yield _Found(attribute, _name_of(value, attribute), where, _mark_of(value) or _NO_MARK)


def _name_of(marked: object, own_name: str) -> str:
    mark = _mark_of(marked)
    return own_name if mark is None or mark.name is None else mark.name


def _make(function: Callable[..., Any], name: str, where: str, mark: _Mark) -> Tool:
    size = len(name.encode("utf-8", "replace"))
    if not 1 <= size <= MAX_TOOL_NAME_BYTES:
        raise ToolError(f"the name of tool {where} has {size} bytes; 1 to {MAX_TOOL_NAME_BYTES} are allowed")
    made = Tool(function, name, where, mark)
    if mark.batch:
        _make_batch(made, mark)
    if len(made.parameters) > MAX_PARAMETERS:
        raise ToolError(f"tool {name!r} ({where}) has {len(made.parameters)} parameters; {MAX_PARAMETERS} are allowed")
    for parameter in made.parameters:
        size = len(parameter.name.encode("utf-8", "replace"))
        if size > MAX_PARAMETER_NAME_BYTES:
            raise ToolError(
                f"the name of a parameter of tool {name!r} ({where}) has {size} bytes; "
                f"{MAX_PARAMETER_NAME_BYTES} are allowed"
            )
    return made


def _make_batch(made: Tool, mark: _Mark) -> None:
    if made.yields or made.input is not None:
        raise ToolError(f"tool {made.name!r} ({made.where}) yields items, or takes some; batch tools return a list")
    by_position = [one for one in made.parameters if one.kind in (1, 2)]
    if len(made.parameters) != 1 or not by_position:
        raise ToolError(
            f"tool {made.name!r} ({made.where}) is a batch tool, which takes one parameter, the list of what its calls "
            f"were given: {made.signature_text}"
        )
    made.batch = BatchTerms(mark.max_batch, mark.max_wait_ms / 1000, made.function, made.async_function)
    made.function = one_at_a_time(made.function, made.name)


def _check_names(tools: list[_Found]) -> None:
    by_name: dict[str, _Found] = {}
    for candidate in tools:
        other = by_name.setdefault(candidate.name, candidate)
        if other is not candidate:
            raise ToolError(f"two tools are named {candidate.name!r}: {other.where} and {candidate.where}")
