"""The site: what readers see."""
