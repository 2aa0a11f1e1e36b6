"""The settings of a site: their notation, their layers and their checks."""
