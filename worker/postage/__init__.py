"""Labels bought from carriers: bought, found again, given back, and their parcels followed."""
