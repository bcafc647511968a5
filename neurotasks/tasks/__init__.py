"""The tasks: one file for a task or for a family of its variants; every file is found by itself."""
