"""What the server answers with. Every tool takes the rest of the request line and returns anything JSON can say."""

import re
import time
from collections import Counter

import snakepit

WORD = re.compile(r"[^\W\d_]{4,}")


@snakepit.tool
def count(text: str) -> int:
    """How many words."""
    return len(text.split())


@snakepit.tool
def keywords(text: str) -> list:
    """The five most frequent words of four letters or more."""
    return [word for word, _ in Counter(WORD.findall(text.lower())).most_common(5)]


@snakepit.tool
def divide(text: str) -> float:
    """Two numbers, the first by the second."""
    dividend, divisor = map(float, text.split())
    return dividend / divisor


@snakepit.tool
def pause(text: str) -> str:
    """Takes that many seconds."""
    time.sleep(float(text))
    return "done"
