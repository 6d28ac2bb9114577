"""From records to figures with their uncertainty, and to a verdict."""
