"""Where questions and traces come from: benchmarks that are fetched, files that are imported."""
