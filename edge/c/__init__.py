"""The C99 print of an `IntegerProgram`."""
