"""Streaming: a network along time as a step function with an explicit state, bit for bit the whole network's answer."""

from trine.edge.streaming.choose import stream
from trine.edge.streaming.program import State, StreamProgram

__all__ = ["State", "StreamProgram", "stream"]
