"""Replaces a name of the product, for the mutants."""


def put(owner: object, name: str, mutant: object) -> None:
    """Replace `owner.name` by the mutant."""
    assert hasattr(owner, name), f"{owner} has no {name}: the mutant would change nothing"
    setattr(owner, name, mutant)
