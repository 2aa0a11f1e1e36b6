"""Those who call and wait for an answer: one file each, which its worker runs too."""
