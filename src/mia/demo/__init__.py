"""The demo: a small corpus and question stream rendered from tables of plain facts."""
