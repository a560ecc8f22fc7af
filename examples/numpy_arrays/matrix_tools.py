"""numpy on the other side of the pool: arrays come in and go out as they are."""

import numpy as np
import snakepit


@snakepit.tool
def standardise(samples: np.ndarray) -> np.ndarray:
    """Each column with mean 0 and standard deviation 1."""
    return (samples - samples.mean(axis=0)) / samples.std(axis=0)


@snakepit.tool
def histogram(samples: np.ndarray, bins: int) -> dict:
    """How many elements lie in each of `bins` equal steps; arrays may stand anywhere inside a result."""
    counts, edges = np.histogram(samples, bins=bins)
    return {"counts": counts, "edges": edges}
