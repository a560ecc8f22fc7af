"""A model that thinks between its words, as language models do."""

import time

import snakepit

open_streams = 0


@snakepit.tool
def tokens(prompt: str, pause: float = 0.05):
    """Words in answer to a prompt, as they come. Returns how many there were."""
    global open_streams
    open_streams += 1
    try:
        answer = f"You said {prompt!r} , and I have thought about it for a while , and then some more ."
        words = answer.split()
        for word in words:
            time.sleep(pause)
            yield word
        return len(words)
    finally:  # also when nobody reads on
        open_streams -= 1


@snakepit.tool
def streams_left_open() -> int:
    return open_streams


@snakepit.tool(input="words")
def capitals(words):
    """What comes in, in capitals, while it comes in."""
    for word in words:
        yield word.upper()
