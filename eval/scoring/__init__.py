"""Answers held against a task: scored, checked by its rules, voted on, step by step."""
