"""A trained head at work: thinking step by step, search, and the solutions that come out."""
