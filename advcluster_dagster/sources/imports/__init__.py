"""Imports: questions and traces from files (paper section 4.1 without the inference).

Rows lie under IMPORTS/STUDY/questions/DOMAIN/BENCHMARK.parquet and
IMPORTS/STUDY/traces/FAMILY/DOMAIN/BENCHMARK/ROLE.parquet.
"""
