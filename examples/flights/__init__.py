"""A year of flights out of New York, event-sourced, joined with captured tables, and replayed while it is being read."""
