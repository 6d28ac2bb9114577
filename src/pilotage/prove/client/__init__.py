"""Sender processes: requests on the wire at their due times, answers as records."""
