"""The board: reads result files, ranks them and writes static pages.

    python -m leaderboard build --results runs/demo --out site
    python -m leaderboard rank --results runs/demo

It never runs a learner: what it knows are result files and the cards of the tasks.
"""
