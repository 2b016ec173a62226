"""The recursion: blocks, cores that apply them again and again, gradients, halting, losses."""
