# A chat partner with a memory that is not its own.
import os

import snakepit


@snakepit.tool
def say(text: str) -> str:
    memory = snakepit.session()
    history = memory.get("history", [])
    memory["history"] = [*history, text]
    if not history:
        return "Nice to meet you."
    return f"Before that you said {len(history)} things, the first was: {history[0]}"


@snakepit.tool
def process() -> int:
    return os.getpid()
