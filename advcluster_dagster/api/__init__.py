"""What Python programs and notebooks use; the command line calls the same functions."""
