"""History through the same cores, and a report of what would have fired."""
