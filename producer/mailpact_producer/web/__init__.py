"""The site as browsers see it."""
