"""How good a ranking is: judgements, runs, measures, and whether a difference is more than luck."""
