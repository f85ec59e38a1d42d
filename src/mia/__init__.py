"""MIA, a memory that plans."""
