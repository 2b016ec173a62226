"""Text that is written: sampling, the language model's own voice, answers as sentences."""
