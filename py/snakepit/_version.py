"""Version of the Python package; it travels in Hello."""

__version__ = "0.1.0"
