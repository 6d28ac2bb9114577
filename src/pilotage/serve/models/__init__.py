"""The models of a running server: which are loaded, and the aliases in front of them."""
