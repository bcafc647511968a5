"""Who is run on what: recipes, the runner, and committed reference results."""
