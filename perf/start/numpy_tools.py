import numpy
import snakepit


@snakepit.tool
def total(size: int) -> float:
    return float(numpy.ones(size).sum())
