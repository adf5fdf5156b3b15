"""Detection quality against real data and today's practice."""
