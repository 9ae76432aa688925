"""Python API for programs and notebooks; the command line calls the same functions."""
