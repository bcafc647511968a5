"""Learners: one file per family of algorithms, each a `Learner` of neurotasks."""
