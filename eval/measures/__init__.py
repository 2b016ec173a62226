"""What is measured, and how sure it is: cost, energy, intervals, significance."""
