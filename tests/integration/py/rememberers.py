"""Tools that use their session, and what C++ offers."""

import os
import threading
import time

import snakepit


@snakepit.tool
def echo(value):
    return value


@snakepit.tool
def pid():
    return os.getpid()


@snakepit.tool
def put(name, value):
    snakepit.session()[name] = value
    return snakepit.session()[name]


@snakepit.tool
def get(name):
    return snakepit.session().get(name)


@snakepit.tool
def get_all():
    return dict(snakepit.session().items())


@snakepit.tool
def count_up(name):
    """Add one, whoever else does."""
    s = snakepit.session()
    while True:
        value, version = s.get_with_version(name)
        try:
            return s.compare_and_set(name, version, (value or 0) + 1)
        except snakepit.VersionConflict:
            continue


@snakepit.tool
def write_in_thread(name, value):
    """What the tool reads after another thread of its has written, and was the first to look at the session."""
    thread = threading.Thread(target=lambda: snakepit.session().set(name, value))
    thread.start()
    thread.join()
    return snakepit.session()[name]


@snakepit.tool
def write_much(name, count):
    """More than fits into a frame, and then what is waited for."""
    s = snakepit.session()
    before = s.get(name)
    for i in range(count):
        s[name] = i
    s.set(name, "last")
    names = len(s)
    for i in range(count):
        s[f"{name}{i}"] = i
    return [before, s[name], s.get_with_version(name)[0], len(s) - names]


@snakepit.tool
def write_in_fork(name, value):
    """What the child has to say."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            snakepit.session()[name] = value
            os.write(theirs, b"written")
        except snakepit.SessionClosed:
            os.write(theirs, b"closed")
        os._exit(0)
    os.close(theirs)
    os.waitpid(child, 0)
    with os.fdopen(ours, "rb") as said:
        return said.read().decode()


@snakepit.tool
def write_slowly(name, count, path):
    """Each waits until the one before was seen: a mark of its number."""
    s = snakepit.session()
    for i in range(count):
        s[name] = i
        _wait_for(f"{path}{i}")


@snakepit.tool
def add_one(name):
    s = snakepit.session()
    s[name] = s.get(name, 0) + 1


@snakepit.tool
def compete(name, rounds):
    """Say that one is ready, then set the variable from each round to the next; which of them were won."""
    s = snakepit.session()
    won = []
    for number in range(rounds):
        value, version = s.get_with_version(name)
        assert value == number, f"{value} in round {number}"
        s.set("ready", number)
        try:
            s.compare_and_set(name, version, number + 1)
            won.append(True)
        except snakepit.VersionConflict:
            won.append(False)
    return won


@snakepit.tool
def everything():
    """All that a session can do; returns what went wrong."""
    s = snakepit.session()
    wrong = []

    def check(what, holds):
        if not holds:
            wrong.append(what)

    check("empty", len(s) == 0 and list(s) == [] and "a" not in s and s.get("a") is None and s.version("a") == 0)
    s["a"] = [1, {"b": b"\x00"}]
    check("read your writes", s["a"] == [1, {"b": b"\x00"}] and "a" in s)
    first = s.version("a")
    second = s.set("a", 2)
    check("versions grow", second > first > 0 and s.version("a") == second)
    s.update_many({"b": "two", "c": None})
    check("many", s.get_many(["a", "b", "c", "d"]) == {"a": 2, "b": "two", "c": None})
    check("iteration", sorted(s) == ["a", "b", "c"] and len(s) == 3 and dict(s.items())["b"] == "two")
    try:
        s.compare_and_set("a", first, 3)
        wrong.append("a conflict passes")
    except snakepit.VersionConflict as error:
        check("reason", error.reason == "version_conflict")
    check("compare", s.compare_and_set("a", second, 3) > second and s["a"] == 3)
    check("compare with nothing", s.compare_and_set("new", 0, 1) > second)
    del s["a"]
    try:
        s["a"]
        wrong.append("erased, and still there")
    except KeyError:
        pass
    try:
        del s["a"]
        wrong.append("erased twice")
    except KeyError:
        pass
    check("pop", s.pop("b") == "two" and s.pop("b", 7) == 7)
    s.update({"x": 1}, y=2)
    check("update", s["x"] + s["y"] == 3)
    large = "x" * 700_000
    s["large"] = large
    check("large", s["large"] == large)
    s.clear()
    check("clear", len(s) == 0)
    for name in ("", "x" * 201, "\ud800"):
        try:
            s[name] = 1
            wrong.append(f"name {name[:5]!r}")
        except (snakepit.InvalidName, ValueError):
            pass
    try:
        s["f"] = object()
        wrong.append("an object travels")
    except TypeError as error:
        check("path", "session['f']" in str(error))
    return wrong


@snakepit.tool
def from_threads(count):
    """Threads and the tool itself write at the same time."""
    s = snakepit.session()

    def write(number):
        for i in range(20):
            s[f"t{number}"] = i
            assert s[f"t{number}"] == i
        return number

    futures = [snakepit.run_in_thread(write, number) for number in range(count)]
    for i in range(20):
        s["main"] = i
        assert s["main"] == i
    return sum(future.result(20) for future in futures)


_left = {}


@snakepit.tool
def leave_thread():
    """A thread that goes on using the session when the call is over."""
    s = snakepit.session()

    def use():
        try:
            while True:
                s["left"] = time.monotonic()
        except snakepit.SessionClosed as error:
            _left["error"] = str(error)

    _left.clear()
    _left["thread"] = threading.Thread(target=use)
    _left["thread"].start()
    return None


@snakepit.tool
def what_became_of_it():
    _left["thread"].join(10)
    return _left.get("error")


@snakepit.tool
def close_it():
    s = snakepit.session()
    s["x"] = 1
    s.close()
    try:
        s["x"]
    except snakepit.SessionClosed:
        return "closed"
    return "open"


def _wait_for(path):
    """Leaves a mark, and waits for another one."""
    with open(path + ".looked", "w"):
        pass
    deadline = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.001)


@snakepit.tool
def look_twice(name, path):
    first = snakepit.session()[name]
    _wait_for(path)
    return [first, snakepit.session()[name]]


@snakepit.tool
def swap(name, value):
    s = snakepit.session()
    before = s.get(name)
    s[name] = value
    assert s[name] == value
    assert s.version(name) > 0
    return before


@snakepit.tool
def write_and_wait(name, value, path):
    s = snakepit.session()
    s[name] = value
    _wait_for(path)
    return s[name]


@snakepit.tool
def write_again(name, path):
    s = snakepit.session()
    s[name] = s[name]
    _wait_for(path)
    try:
        s[name] = 2
    except snakepit.SessionClosed as error:
        return error.reason
    return "written"


@snakepit.tool
def go_too_far(path):
    """The reasons why not."""
    s = snakepit.session()
    reasons = []

    def refused(name, value):
        try:
            s[name] = value
        except snakepit.SessionError as error:
            reasons.append(error.reason)

    s["a"] = "x" * 400
    refused("a", "x" * 500)
    s["b"] = "x" * 400
    refused("c", "x" * 400)
    s.update(a=1, b=2, c=3)
    refused("d", 4)
    refused("", 5)
    assert s.get_many(["a", "b", "c", "d", ""][:4]) == {"a": 1, "b": 2, "c": 3}
    return reasons


@snakepit.tool
def without():
    try:
        snakepit.session()
    except snakepit.SessionClosed as error:
        return str(error)
    return None


@snakepit.tool
def trace():
    call = snakepit.current_call()
    return [call.traceparent, call.tracestate]


@snakepit.tool
def ask(name, *args):
    return getattr(snakepit.host, name)(*args)


@snakepit.tool
def ask_with(name, keywords):
    return getattr(snakepit.host, name)(**keywords)


@snakepit.tool
def ask_wrong(name, *args):
    """The exception's class and text, and those of its cause."""
    try:
        getattr(snakepit.host, name)(*args)
    except snakepit.HostError as error:
        cause = error.__cause__
        return [type(error).__name__, str(error), error.reason, str(cause) if cause else ""]
    return None


@snakepit.tool
def about_host():
    return [dir(snakepit.host), snakepit.host.describe.__doc__]


@snakepit.tool
def ask_until_cancelled(path, name):
    """Leaves a mark when it was."""
    try:
        getattr(snakepit.host, name)()
    except snakepit.Cancelled as error:
        with open(path, "w") as mark:
            mark.write(error.reason)
        raise


@snakepit.tool
def fail(text):
    raise ValueError(text)


_served = {}


@snakepit.tool
def remember(seconds=0):
    """The number of the session's calls that this process has served, this one included, and which process it is."""
    time.sleep(seconds)
    key = snakepit.current_call().session
    _served[key] = _served.get(key, 0) + 1
    return [os.getpid(), _served[key]]
