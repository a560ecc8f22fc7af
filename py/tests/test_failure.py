from __future__ import annotations

import builtins
import sys
from collections.abc import Callable

import pytest
from snakepit._failure import Raised, describe


def caught(function: Callable[[], object]) -> Raised:
    try:
        function()
    except BaseException as error:
        return describe(error)
    raise AssertionError("nothing was raised")


def fail(error: BaseException) -> Raised:
    def raiser() -> None:
        raise error

    return caught(raiser)


class StrRaises(Exception):
    def __str__(self) -> str:
        raise SystemExit("from str")


def test_type_message_and_place() -> None:
    raised = fail(ValueError("bad é"))
    assert (raised.type, raised.message) == ("ValueError", "bad é")
    assert "test_failure.py" in raised.traceback
    assert ", in raiser" in raised.traceback
    assert raised.causes == []
    assert fail(StrRaises()).type.endswith("test_failure.StrRaises")


def test_an_exception_whose_str_raises() -> None:
    raised = fail(StrRaises())
    assert raised.message == "<str() of it raised SystemExit>"
    assert "StrRaises" in raised.traceback


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()])
def test_exceptions_that_are_no_errors(error: BaseException) -> None:
    assert fail(error).type == type(error).__name__


def test_recursion() -> None:
    def deeper() -> None:
        deeper()

    raised = caught(deeper)
    assert raised.type == "RecursionError"
    assert len(raised.traceback) < 32 * 1024


def test_chained_causes_nearest_first() -> None:
    def chain() -> None:
        try:
            try:
                raise KeyError("first")
            except KeyError:
                raise OSError("second")  # noqa: B904
        except OSError as error:
            raise ValueError("third") from error

    raised = caught(chain)
    assert raised.causes == [("OSError", "second"), ("KeyError", "'first'")]
    assert "direct cause" in raised.traceback
    error = ValueError(0)
    for index in range(20):
        outer = ValueError(index)
        outer.__cause__ = error
        error = outer
    assert len(fail(error).causes) == 8


def test_sizes_are_bounded() -> None:
    raised = fail(ValueError("é" * 100_000))
    assert len(raised.message.encode()) <= 8 * 1024
    assert len(raised.traceback.encode()) <= 32 * 1024
    assert "[...]" in raised.traceback
    one_line = fail(ValueError("token=" + "s" * 30_000)).message
    assert one_line.startswith("token=s")
    assert one_line.endswith("[...]\n"), "the rest of a line does not say what it is about"
    assert fail(ValueError("a" * 30_000 + "\nlast")).message.endswith("[...]\nlast")
    long = type("L" * 1000, (Exception,), {})
    assert len(fail(long("\ud800")).type.encode()) <= 256


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups are newer")
def test_exception_groups() -> None:
    group = vars(builtins)["ExceptionGroup"]("several", [ValueError("a"), KeyError("b")])
    raised = fail(group)
    assert raised.type == "ExceptionGroup"
    assert "KeyError" in raised.traceback


class Unequal(Exception):
    def __eq__(self, other: object) -> bool:
        raise SystemExit("from eq")

    __hash__ = Exception.__hash__


def test_causes_are_told_apart_without_asking_them() -> None:
    inner, outer = Unequal("inner"), Unequal("outer")
    inner.__cause__ = Unequal("innermost")
    outer.__cause__ = inner
    assert [message for _, message in fail(outer).causes] == ["inner", "innermost"]


@pytest.mark.parametrize("name", ["__cause__", "__context__", "__suppress_context__", "__traceback__"])
def test_an_exception_whose_properties_raise(name: str) -> None:
    def refuse(self: object) -> object:
        raise SystemExit(name)

    raised = describe(type("Rude", (Exception,), {name: property(refuse)})("words"))
    assert raised.type.endswith("Rude")
    assert raised.message == "words"
    assert raised.causes == []


def test_a_class_that_does_not_say_where_it_is_from() -> None:
    class Silent(type):
        def __getattribute__(cls, name: str) -> object:
            raise SystemExit(name)

    class Rude(Exception, metaclass=Silent):
        pass

    raised = fail(Rude("words"))
    assert (raised.type, raised.message) == ("Rude", "words")


def test_texts_that_are_more_than_text() -> None:
    class Text(str):
        def refuse(self, *_: object) -> object:
            raise SystemExit("from text")

        encode = __getitem__ = __iter__ = __format__ = __str__ = refuse  # type: ignore[assignment]

    class Rude(Exception):
        def __str__(self) -> str:
            return Text("words")

    Rude.__module__ = Text("mine")
    raised = fail(Rude())
    assert (raised.type, raised.message) == ("Rude", "words")
    assert type(raised.message) is str


def test_there_is_always_a_description(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(error: BaseException) -> str:
        raise MemoryError

    monkeypatch.setattr("snakepit._failure.text_of", exhausted)
    assert fail(ValueError("x")).type == "BaseException"
