"""Trine carries trained medical models onto hardware that is not a GPU, and proves that they arrived whole."""

__version__ = "0.1.0"
