"""This machine as a platform: replicas behind a balancer of our own, kept up by a supervisor.

The supervisor is a process of its own and imports this package, so nothing is re-exported here.
"""
