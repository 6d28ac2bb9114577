"""The `transformers` engine: any causal or image-text-to-text model folder, batched by us.

Needs the extra ``pilotage[transformers]``. Only workers import what is in here.
"""
