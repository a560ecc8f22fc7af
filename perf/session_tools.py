"""Tools that use their session, to be measured."""

import snakepit


@snakepit.tool
def echo(value):
    return value


@snakepit.tool
def read(name):
    return snakepit.session()[name]


@snakepit.tool
def read_two_write_one():
    s = snakepit.session()
    seen = s.get_many(("a", "b"))
    s["n"] = seen["a"] + 1
    return [seen["a"], seen["b"]]
