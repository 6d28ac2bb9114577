"""Names that vulture takes for unused: called by a library, or part of an interface."""
