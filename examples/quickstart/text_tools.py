# What the quick start calls.
import snakepit


@snakepit.tool
def count_words(text: str) -> int:
    return len(text.split())
