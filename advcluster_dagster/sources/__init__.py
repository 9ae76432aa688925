"""Sources of questions and traces: benchmark data sets and imported files."""
