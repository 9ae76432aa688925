"""The method of the paper as pure functions on frames, arrays and strings; one folder per stage."""
