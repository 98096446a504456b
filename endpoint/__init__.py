"""A call-centre agent's telephone on a server: audio, legs, calls, agents."""

__version__ = "0.1.0"
