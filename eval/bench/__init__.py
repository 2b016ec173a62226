"""The benchmark: suites and studies of cells, run one after another into a folder that resumes."""
