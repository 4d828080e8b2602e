"""The rules: pure functions of values. No clock, no randomness, no I/O, no logging."""
