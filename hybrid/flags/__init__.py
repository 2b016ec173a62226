"""Configs as flags and YAML files: the parser, scalars as people write them, errors that name the flag."""
